// The state: each message is all of it, so what was missed does not matter.
function listen() {
	const stream = new EventSource("/state/")
	stream.addEventListener("list", e => show(JSON.parse(e.data)))
	stream.addEventListener("stop", () => stream.close()) // another page has taken its place
	// A browser comes back by itself after a lost connection, and not after an error
	// that a proxy answers while the server is away.
	stream.addEventListener("error", () => {
		if (stream.readyState == EventSource.CLOSED) setTimeout(listen, 1000 + 1000 * Math.random())
	})
}

function show(list) {
	const rows = list.items.map(item => {
		const row = document.createElement("li"), name = document.createElement("span"), button = document.createElement("button")
		name.textContent = item.count > 1 ? `${item.count} × ${item.name}` : item.name
		button.textContent = "Bought"
		button.onclick = () => act("list/remove", {item: item.name})
		row.append(name, button)
		return row
	})
	document.querySelector("#list").replaceChildren(...rows)
}

// Actions are sent one after the other, each until it is answered, and under one
// name: the server runs a name once, however often it comes.
let last = Promise.resolve(), waiting = 0

function act(path, payload) {
	const id = crypto.randomUUID?.() ?? Array.from(crypto.getRandomValues(new Uint8Array(16)), n => n.toString(16).padStart(2, "0")).join("")
	say(++waiting)
	last = last.then(() => send(path, payload, id)).finally(() => say(--waiting))
	return last
}

async function send(path, payload, id) {
	for (let wait = 250; ; wait = Math.min(2 * wait, 8000)) {
		try {
			const answer = await fetch("/state/" + path, {
				method: "POST",
				headers: {"Content-Type": "application/json", "Idempotency-Key": id},
				body: JSON.stringify(payload),
			})
			if (answer.ok) return wrong("")
			if (answer.status < 500) return wrong(Object.values((await answer.json()).error?.fields ?? {})[0] ?? "This page is out of date. Please load it again.")
		} catch {} // no answer
		await new Promise(done => setTimeout(done, wait * (0.5 + Math.random())))
	}
}

function say(n) { document.querySelector("#sending").textContent = n > 0 ? `${n} to send` : "" }
function wrong(text) { document.querySelector("#wrong").textContent = text }

document.querySelector("#form").addEventListener("submit", e => {
	e.preventDefault()
	const item = document.querySelector("#item")
	act("list/add", {item: item.value})
	item.value = ""
})
listen()
