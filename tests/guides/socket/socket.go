// Package socket holds the program of docs/websockets.md.
package socket

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"
	"github.com/stay-go/stay"
	"github.com/stay-go/stay/web"
)

// Board is what one visitor has drawn.
type Board struct {
	Points []Point `json:"points"`
}

// Point is where the visitor has touched the board.
type Point struct {
	X int `json:"x"`
	Y int `json:"y"`
}

// NewHandler serves the board. It stands behind web.Sessions.
func NewHandler(board *stay.State[Board]) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", web.View(board, func(w http.ResponseWriter, _ *http.Request, b *Board) error {
		_, err := fmt.Fprintf(w, "<!doctype html><title>%d points</title>", len(b.Points))
		return err
	}))
	mux.HandleFunc("GET /socket", func(w http.ResponseWriter, r *http.Request) { serve(w, r, board) })
	mux.HandleFunc("GET /watch", func(w http.ResponseWriter, r *http.Request) { watch(w, r, board) })
	return mux
}

// serve takes points and answers each with the number that is stored.
func serve(w http.ResponseWriter, r *http.Request, board *stay.State[Board]) {
	if stay.SessionFrom(r.Context()).ID() == "" { // the cookie goes out with the handshake
		web.Error(w, r, stay.ErrEnded)
		return
	}
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		return // Accept has answered
	}
	defer func() { _ = conn.CloseNow() }()
	conn.SetReadLimit(4 << 10)
	for {
		if err := message(r.Context(), conn, board); err != nil {
			end(conn, err)
			return
		}
	}
}

// end tells the client why the socket ends.
func end(conn *websocket.Conn, err error) {
	status := websocket.StatusInternalError
	if errors.Is(err, stay.ErrEnded) { // logged out, or logged in, elsewhere
		status = websocket.StatusPolicyViolation
	}
	_ = conn.Close(status, "load the page again")
}

func message(ctx context.Context, conn *websocket.Conn, board *stay.State[Board]) error {
	var p Point
	if err := wsjson.Read(ctx, conn, &p); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	b, err := board.Update(ctx, func(b *Board) error {
		b.Points = append(b.Points, p)
		return nil
	})
	if err != nil {
		return err
	}
	return wsjson.Write(ctx, conn, len(b.Points)) // it is on disk
}

// watch sends the board, and again when it has changed.
func watch(w http.ResponseWriter, r *http.Request, board *stay.State[Board]) {
	if stay.SessionFrom(r.Context()).ID() == "" {
		web.Error(w, r, stay.ErrEnded)
		return
	}
	conn, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer func() { _ = conn.CloseNow() }()
	ctx := conn.CloseRead(r.Context()) // ends when the client goes
	for b, err := range board.Watch(ctx) {
		if err == nil {
			err = send(ctx, conn, b)
		}
		if err != nil {
			end(conn, err)
			return
		}
	}
}

func send(ctx context.Context, conn *websocket.Conn, b *Board) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return wsjson.Write(ctx, conn, b)
}
