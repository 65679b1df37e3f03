// Says on the page that a request has failed, until an answer is shown again.
// htmx replaces what is in the body, so the mark on the body itself stays.
for (const name of ["htmx:sendError", "htmx:responseError"])
	addEventListener(name, () => { document.body.dataset.failed = "" })
addEventListener("htmx:afterSwap", () => { delete document.body.dataset.failed })

// What was wrong with a field is not said of what is entered into it now.
addEventListener("input", e => {
	e.target.removeAttribute("aria-invalid")
	document.getElementById(e.target.id + "-wrong")?.remove()
})
