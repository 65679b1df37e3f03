module github.com/stay-go/stay

go 1.25.0
