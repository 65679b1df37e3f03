// Says on the page that a form has failed, until an answer comes.
const failed = () => { document.body.dataset.failed = "" }
addEventListener("htmx:sendError", failed)
addEventListener("htmx:responseError", failed)
addEventListener("htmx:afterOnLoad", e => { if (e.detail.xhr.status < 400 || e.detail.xhr.status == 422) delete document.body.dataset.failed })

// The stream brings the page; the title of the tab stands outside of it.
addEventListener("htmx:sseMessage", () => {
	const title = document.querySelector("#unread [data-title]")?.dataset.title
	if (title) document.title = title
})

// A second click would have the browser drop the answer to the first, and with it
// the new cookie.
addEventListener("submit", e => {
	const form = e.target
	if (!("once" in form.dataset)) return
	if (form.sent) return e.preventDefault()
	form.sent = true
	setTimeout(() => form.sent = false, 5000)
})
