// Package web serves stay's state over net/http: it gives every request the
// session of its browser, turns typed functions into handlers, and answers
// errors in a format that the client can read.
//
// [Sessions] is the middleware in front of everything else. The constructors
// return http.HandlerFunc, so they work with http.ServeMux and every router
// that takes standard handlers:
//
//   - [View] reads state and renders it,
//   - [Update] changes and renders in one transaction,
//   - [Do] runs an action and renders what was committed,
//   - [Handle] is any handler that returns an error,
//   - [Actions] is a JSON interface to the given states,
//   - [Live] keeps parts of a page up to date, with event streams.
//
// All of these but Live buffer the response: it is sent when the function has returned
// and its change is durable, and an error never follows half a page. Streams,
// WebSockets and uploads are plain handlers behind Sessions, which use the
// methods of stay.State and, for errors, [Error].
//
// Servers without net/http, such as fasthttp and servers for RPC, begin the
// session of a request with [Visits].
//
// # Forms
//
// [Bind], [Payload], Do and Actions read forms and JSON into the same structs.
// Values that do not fit are one stay.ErrInvalid with a message for each field.
// A [Form] keeps what was typed, and the error that [Form.Again] returns shows
// it again.
//
// # Requests from elsewhere
//
// Sessions puts every request behind http.CrossOriginProtection: a browser's
// POST, PUT, PATCH or DELETE from another origin is answered with 403. GET,
// HEAD and OPTIONS pass, so they must not change anything; Update and Do
// refuse them. A WebSocket from another origin is refused as well, although it
// begins with a GET.
package web
