package normal

import (
	"bytes"
	"strconv"
	"strings"
)

// Exact reports whether a float64 keeps each digit of a JSON number: one that
// is printed with as many digits is the same number. So 0.1 is kept although no
// float64 is a tenth, and 9007199254740993 is not.
func Exact(number []byte) bool {
	// Up to 15 digits always come back.
	if len(number) <= 15 && !bytes.ContainsAny(number, "eE") {
		return true
	}
	text := string(number)
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return false
	}
	digits, exponent := scientific(text)
	if digits == "" {
		return true // zero
	}
	kept, at := scientific(strconv.FormatFloat(f, 'e', len(digits)-1, 64))
	return kept == digits && at == exponent
}

// ExactInteger is Exact for a number without a fraction and an exponent. It is
// true of others.
func ExactInteger(number []byte) bool {
	return bytes.ContainsAny(number, ".eE") || Exact(number)
}

// scientific returns the digits of a number from its first to its last that is
// not 0, and the power of ten of the first. There are none if it is zero.
func scientific(number string) (digits string, exponent int) {
	mantissa, power := strings.TrimPrefix(number, "-"), ""
	if e := strings.IndexAny(mantissa, "eE"); e >= 0 {
		mantissa, power = mantissa[:e], mantissa[e+1:]
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	digits = whole + fraction
	begins := len(digits) - len(strings.TrimLeft(digits, "0"))
	exponent = len(whole) - 1 - begins
	if n, err := strconv.Atoi(power); err == nil {
		exponent += n
	}
	return strings.TrimRight(digits[begins:], "0"), exponent
}
