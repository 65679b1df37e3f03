// Says on the page that a request has failed, until an answer is shown again.
// htmx replaces what is in the body, so the mark on the body itself stays.
// A form that is shown again, with 422, says itself what was wrong.
const failed = () => { document.body.dataset.failed = "" }
addEventListener("htmx:sendError", failed)
addEventListener("htmx:responseError", e => {
	const answer = e.detail.xhr
	if (answer.status != 422 || answer.getResponseHeader("HX-Reswap") == "none") failed()
})
addEventListener("htmx:afterSwap", () => { delete document.body.dataset.failed })

// What was wrong with a field is not said of what is entered into it now.
addEventListener("input", e => {
	e.target.removeAttribute("aria-invalid")
	document.getElementById(e.target.id + "-wrong")?.remove()
})
