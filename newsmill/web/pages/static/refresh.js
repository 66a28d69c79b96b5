// Refreshes the part of the page that names its URL in data-refresh, every data-seconds, while the reader sees it and has no focus in it.
for (const part of document.querySelectorAll("[data-refresh]")) {
  setInterval(async () => {
    if (document.hidden || part.contains(document.activeElement)) return;
    try {
      const answer = await fetch(part.dataset.refresh);
      if (answer.ok) part.innerHTML = await answer.text();
    } catch {
      // The server does not answer; the next time may be better.
    }
  }, 1000 * part.dataset.seconds);
}
