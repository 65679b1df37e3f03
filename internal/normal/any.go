package normal

import (
	"fmt"

	"github.com/stay-go/stay/internal/schema/jsonwalk"
)

// CheckAny returns an error for what an any cannot keep of a JSON value that has
// passed [jsonwalk.Check]: a number that is rounded, as it becomes a float64, and
// a name that occurs twice. The error says where.
func CheckAny(data []byte) error { return checkAny(jsonwalk.NewCursor(data)) }

func checkAny(c *jsonwalk.Cursor) error {
	switch first := c.Kind(); {
	case first == '{':
		seen := make(map[string]bool)
		for c.Enter(); c.More(); {
			name := jsonwalk.Unquote(c.Name())
			if seen[name] {
				return fmt.Errorf("the name %q occurs twice", name)
			}
			seen[name] = true
			if err := checkAny(c); err != nil {
				return jsonwalk.Within(name, err)
			}
		}
	case first == '[':
		i := 0
		for c.Enter(); c.More(); i++ {
			if err := checkAny(c); err != nil {
				return jsonwalk.Within(fmt.Sprintf("[%d]", i), err)
			}
		}
	case first == '-' || '0' <= first && first <= '9':
		if number := c.Skip(); !Exact(number) {
			return fmt.Errorf("the number %.100s loses digits in an any, which holds it as a float64: use a string, or a field with a number type", number)
		}
	default:
		c.Skip()
	}
	return nil
}
