// Says on the page that a request has failed, until an answer comes. A question
// for news says nothing: the next one follows.
const failed = e => { if (e.detail.requestConfig.verb != "get") document.body.dataset.failed = "" }
addEventListener("htmx:sendError", failed)
addEventListener("htmx:responseError", failed)
addEventListener("htmx:afterSwap", e => { if (e.detail.requestConfig.verb != "get") delete document.body.dataset.failed })

// The number of unread messages is in the title too.
const title = document.title
const count = () => {
	const unread = document.getElementById("unread")?.textContent
	document.title = unread ? `(${unread.replace(" unread", "")}) ${title}` : title
}
addEventListener("htmx:afterSwap", count)
count()

// A second click would have the browser drop the answer to the first, and with it
// the new cookie.
addEventListener("submit", e => {
	const form = e.target
	if (!("once" in form.dataset)) return
	if (form.sent) return e.preventDefault()
	form.sent = true
	setTimeout(() => form.sent = false, 5000)
})
