// Package web serves stay's state over net/http: it gives every request the
// session of its browser, turns typed functions into handlers, and answers
// errors in the form that the client can read.
//
// [Sessions] is the middleware that everything else stands behind. The
// constructors return http.HandlerFunc, so they fit http.ServeMux and every
// router that takes standard handlers:
//
//   - [View] reads state and renders it,
//   - [Update] changes and renders in one transaction,
//   - [Do] runs an action and renders what was committed,
//   - [Handle] is any handler that returns an error,
//   - [Actions] is a JSON interface to the states named.
//
// All of these buffer what is written: the response leaves when the function
// has returned and what it changed is durable, and an error never follows half
// a page. Streams, WebSockets and uploads are plain handlers behind Sessions,
// which use the methods of stay.State and, for errors, [Error].
//
// # Requests from elsewhere
//
// Sessions puts every request behind http.CrossOriginProtection: a browser's
// POST, PUT, PATCH or DELETE from another origin is answered with 403. GET,
// HEAD and OPTIONS pass, so they must not change anything; Update and Do
// refuse them. A WebSocket from another origin is refused as well, although it
// begins with a GET.
package web
