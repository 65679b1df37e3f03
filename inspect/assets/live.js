"use strict";
// Keeps the parts of a page up to date, as long as somebody looks at it.
{
	const sign = document.getElementById("live");
	let stream, timer;

	function say(text, bad) {
		sign.textContent = text;
		sign.classList.toggle("bad", bad);
		sign.hidden = false;
	}

	// Changes what is different and leaves the rest, with its focus, its selection,
	// and how far it is scrolled.
	function patch(old, now) {
		if (old.nodeType !== now.nodeType || old.nodeName !== now.nodeName) return old.replaceWith(now);
		if (old.nodeType !== Node.ELEMENT_NODE) {
			if (old.data !== now.data) old.data = now.data;
			return;
		}
		for (const { name } of [...old.attributes]) if (!now.hasAttribute(name)) old.removeAttribute(name);
		for (const { name, value } of now.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
		patchInside(old, now);
	}

	function patchInside(old, now) {
		const next = [...now.childNodes];
		while (old.childNodes.length > next.length) old.lastChild.remove();
		next.forEach((node, i) => i < old.childNodes.length ? patch(old.childNodes[i], node) : old.append(node));
	}

	// A part that the page does not have means that it shows something else by now.
	function show({ data }) {
		const end = data.indexOf("\n"), part = document.getElementById(data.slice(0, end));
		if (!part) return location.reload();
		const now = document.createElement("template");
		now.innerHTML = data.slice(end + 1);
		patchInside(part, now.content);
	}

	function listen() {
		stop();
		stream = new EventSource(location.href);
		stream.addEventListener("part", show);
		stream.addEventListener("live", ({ data }) => say(data || "live", data !== ""));
		stream.onerror = () => {
			say("waiting for the server", true);
			if (stream.readyState === EventSource.CLOSED) timer = setTimeout(ask, 1000);
		};
	}

	function stop() {
		clearTimeout(timer);
		if (stream) stream.close();
		stream = undefined;
	}

	// Who may not see the page any more, must not go on looking at what is left.
	async function ask() {
		try {
			const answer = await fetch(location.href, { method: "HEAD" });
			if (answer.status < 500 && (!answer.ok || answer.redirected)) return location.reload();
		} catch { } // there is no server
		timer = setTimeout(look, 2000);
	}

	function look() {
		if (document.hidden) stop();
		else listen();
	}

	addEventListener("visibilitychange", look);
	addEventListener("pagehide", stop);
	addEventListener("pageshow", event => { if (event.persisted) look(); });
	look();
}
