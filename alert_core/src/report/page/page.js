(() => {
  "use strict";
  const banner = document.getElementById("contact");
  const text = document.getElementById("contact-text");
  let seen = Date.now();
  // Changes what differs and nothing else, so that focus, scrolling and screen readers stay where they are.
  const morph = (old, fresh) => {
    if (old.nodeType !== fresh.nodeType || old.nodeName !== fresh.nodeName || old.id !== fresh.id) return old.replaceWith(fresh);
    if (old.id === "said") return;
    if (old.nodeType !== 1) {
      if (old.data !== fresh.data) old.data = fresh.data;
      return;
    }
    for (const { name } of [...old.attributes]) if (name !== "open" && !fresh.hasAttribute(name)) old.removeAttribute(name);
    for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    const after = [...fresh.childNodes];
    const named = (nodes, id) => id && [...nodes].find(node => node.id === id);
    after.forEach((node, at) => {
      const there = old.childNodes[at], known = named(old.childNodes, node.id);
      // What has a name stays what it is, wherever it moves.
      if (known && known !== there) old.insertBefore(known, there);
      if (known || (there && !named(after, there.id))) morph(known || there, node);
      else old.insertBefore(node, there || null);
    });
    while (old.childNodes.length > after.length) old.lastChild.remove();
  };
  const look = async () => {
    try {
      const answer = await fetch(location.href, {
        cache: "no-store", headers: { Accept: "text/html" }, signal: AbortSignal.timeout(5000),
      });
      if (!answer.ok) throw new Error("HTTP " + answer.status);
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      if (!fresh.getElementById("page")) throw new Error("another page");
      morph(document.getElementById("page"), fresh.getElementById("page"));
      document.title = fresh.title;
      morph(document.getElementById("icon"), fresh.getElementById("icon"));
      seen = Date.now();
      banner.hidden = true;
    } catch (error) {
      const seconds = Math.round((Date.now() - seen) / 1000);
      if (seconds > 2) {
        text.textContent = "Lost contact with nginx. What you see is " + seconds + " s old.";
        banner.hidden = false;
      }
    }
    setTimeout(look, document.hidden ? 5000 : 1000);
  };
  setTimeout(look, 1000);
  // Whoever may not send commands sees no buttons. Without credentials, nobody is asked for them here.
  const form = document.querySelector("#operate form");
  if (form) {
    fetch(form.action, { method: "OPTIONS", credentials: "omit" }).then(
      answer => document.documentElement.classList.toggle("watches", [403, 404, 405].includes(answer.status)),
      () => {},
    );
  }
  // A command is sent from here, and its answer shown where it was given.
  document.addEventListener("submit", async event => {
    event.preventDefault();
    const { submitter } = event;
    const said = document.getElementById("said");
    submitter.disabled = true;
    try {
      const answer = await fetch(submitter.formAction, { method: "POST" });
      const words = await answer.json().catch(() => ({ error: "HTTP " + answer.status }));
      const shown = Object.entries(words).filter(([name, value]) => name !== "monitor" && value !== null);
      const text = shown.map(([name, value]) => name.replaceAll("_", " ") + ": " + value).join(", ");
      said.textContent = words.error ? "Refused: " + words.error : "Done. " + text;
    } catch {
      said.textContent = "No answer from nginx.";
    }
    said.hidden = false;
    submitter.disabled = false;
    submitter.closest("details").open = false;
  });
})();
