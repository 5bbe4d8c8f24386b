(() => {
  "use strict";
  const banner = document.getElementById("contact");
  const text = document.getElementById("contact-text");
  let seen = Date.now();
  // Changes what differs and nothing else, so that focus, scrolling and screen readers stay where they are.
  const morph = (old, fresh) => {
    if (old.nodeType !== fresh.nodeType || old.nodeName !== fresh.nodeName) return old.replaceWith(fresh);
    if (old.nodeType !== 1) {
      if (old.data !== fresh.data) old.data = fresh.data;
      return;
    }
    for (const { name } of [...old.attributes]) if (name !== "open" && !fresh.hasAttribute(name)) old.removeAttribute(name);
    for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    const before = [...old.childNodes], after = [...fresh.childNodes];
    after.forEach((node, at) => (before[at] ? morph(before[at], node) : old.append(node)));
    before.slice(after.length).forEach(node => node.remove());
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
})();
