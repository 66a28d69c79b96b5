// What the pages do with script, beside what they do without: keyboard shortcuts, marks without a reload, and the browser's time zone.
"use strict";
(() => {
  const root = document.documentElement;
  const one = (selector) => document.querySelector(selector);
  const form = one("#marks");

  // The time zone of the browser, until the reader chooses one. The page is loaded again in it, if the cookie was kept and this is no refusal.
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (root.dataset.zone === "" && zone) {
    const secure = location.protocol === "https:" ? ";secure" : "";
    document.cookie = `nm_zone=${zone};path=/;max-age=31536000;samesite=lax${secure}`;
    const [entry] = performance.getEntriesByType("navigation");
    const isKept = document.cookie.split("; ").includes(`nm_zone=${zone}`);
    if (isKept && zone !== root.dataset.times && entry?.responseStatus < 400) location.reload();
  }

  // An image that cannot be shown leaves no gap.
  const drop = (image) => (image.closest("figure") ?? image).remove();
  for (const image of document.querySelectorAll("img.thumb")) {
    if (image.complete && !image.naturalWidth) drop(image);
    else image.addEventListener("error", () => drop(image));
  }

  // On a narrow screen the filters stand above the results, so they begin closed.
  const filters = one("details.filters");
  if (filters && matchMedia("screen and (max-width: 59.99rem)").matches) filters.open = false;

  // ---- marks

  async function send(values) {
    const body = new URLSearchParams({ csrf: form.elements.csrf.value, ...values });
    const answer = await fetch(form.action, { method: "POST", body, headers: { Accept: "application/json" } });
    if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
  }

  async function toggleStar(button) {
    await send({ [button.name]: button.value });
    const isStarred = button.name === "star";
    button.name = isStarred ? "unstar" : "star";
    button.setAttribute("aria-pressed", String(isStarred));
  }

  for (const button of document.querySelectorAll("button.star")) {
    button.addEventListener("click", (event) => {
      event.preventDefault();
      toggleStar(button).catch(() => form.requestSubmit(button));
    });
  }

  // A document counts as read when it was in view for two seconds, not when a browser loads it ahead.
  if (form && "unread" in form.dataset) {
    let timer = 0;
    const markRead = async () => {
      await send({ id: form.elements.id.value, do: "read" });
      document.removeEventListener("visibilitychange", watch);
      const button = form.querySelector("[data-read]");
      button.value = "unread";
      button.textContent = button.dataset.read;
    };
    const watch = () => {
      clearTimeout(timer);
      if (document.visibilityState === "visible" && !document.prerendering) timer = setTimeout(() => markRead().catch(() => {}), 2000);
    };
    document.addEventListener("visibilitychange", watch);
    document.addEventListener("prerenderingchange", watch);
    watch();
  }

  const boxes = [...document.querySelectorAll(".pick input")];
  const count = one("[data-chosen]");
  const all = one("[data-choose-all]");
  if (count && boxes.length) {
    const show = () => {
      const chosen = boxes.filter((box) => box.checked).length;
      count.hidden = !chosen;
      count.textContent = ` (${chosen})`;
      one("details.bulk").open = chosen > 0;
      one("details.bulk").hidden = !chosen;
    };
    for (const box of boxes) box.addEventListener("change", show);
    all.hidden = false;
    all.addEventListener("click", () => {
      const wanted = boxes.some((box) => !box.checked);
      for (const box of boxes) box.checked = wanted;
      show();
    });
    show();
  }

  // ---- keyboard

  const help = one("#keys");
  for (const button of document.querySelectorAll("[data-help]")) {
    button.hidden = false;
    button.addEventListener("click", () => help.showModal());
  }
  const links = () => [...document.querySelectorAll("ol.documents > li > h3 a")];
  // The document with the focus; without one, that from which the reader came back.
  const item = () => document.activeElement.closest("ol.documents > li") ?? (document.activeElement === document.body ? one("ol.documents > li:target") : null);
  const current = () => links().indexOf(item()?.querySelector("h3 a"));

  function move(step) {
    const neighbour = one(`nav.walk a[rel=${step > 0 ? "next" : "prev"}]`);
    if (neighbour) neighbour.click();
    const list = links();
    if (one("nav.walk") || !list.length) return;
    const at = current();
    const next = at < 0 ? 0 : Math.min(list.length - 1, Math.max(0, at + step));
    list[next].focus();
    list[next].closest("li").scrollIntoView({ block: "nearest" });
  }

  const actions = {
    "/": () => (one("#q") ?? one("#find"))?.select(),
    "?": () => help.showModal(),
    j: () => move(1),
    k: () => move(-1),
    o: () => links()[current()]?.click(),
    s: () => (item() ?? one("section.own"))?.querySelector("button.star")?.click(),
    u: () => one("a[data-key=u]")?.click(),
  };

  document.addEventListener("keydown", (event) => {
    const isTyped = event.target.closest?.("input, textarea, select, [contenteditable]");
    if (root.dataset.keys === "off" || isTyped || event.ctrlKey || event.metaKey || event.altKey || event.isComposing || one("dialog[open]")) return;
    if (!Object.hasOwn(actions, event.key)) return;
    event.preventDefault();
    actions[event.key]();
  });
})();
