// Says on the page that a form has failed, until an answer comes.
const failed = () => { document.body.dataset.failed = "" }
addEventListener("htmx:sendError", failed)
addEventListener("htmx:responseError", failed)
addEventListener("htmx:afterOnLoad", e => { if (e.detail.xhr.status < 400 || e.detail.xhr.status == 422) delete document.body.dataset.failed })

// The stream brings the room as everybody sees it, and how far this user has read.
// What that means for this user is put together here, as the server does it for
// the first page.
const title = document.title
const show = () => {
	const user = document.getElementById("user")?.textContent
	if (!user) return
	const lines = [...document.querySelectorAll("#messages [data-number]")]
	const seen = Number(document.getElementById("seen").textContent)
	let above = null, unread = 0
	for (const line of lines) {
		const mine = line.dataset.from == user, fresh = !mine && line.dataset.number > seen
		line.classList.toggle("mine", mine)
		line.classList.toggle("new", fresh)
		if (above && fresh != above.classList.contains("new")) line.classList.add("first")
		if (fresh) unread++
		above = line
	}
	const more = lines.length > 0 && lines.at(-1).dataset.number > seen + 1 ? "+" : ""
	const form = document.querySelector(".unread")
	form.hidden = unread == 0
	form.elements.number.value = lines[0]?.dataset.number ?? 0
	document.getElementById("unread").textContent = unread ? `${unread}${more} unread` : ""
	document.title = unread ? `(${unread}${more}) ${title}` : title
}
addEventListener("htmx:sseMessage", show)
show()

// A second click would have the browser drop the answer to the first, and with it
// the new cookie.
addEventListener("submit", e => {
	const form = e.target
	if (!("once" in form.dataset)) return
	if (form.sent) return e.preventDefault()
	form.sent = true
	setTimeout(() => form.sent = false, 5000)
})
