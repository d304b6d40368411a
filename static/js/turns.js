// "Your turn" as notices of the browser, for people who asked for them in this browser. One window of it asks; the rest rest.
const EVERY = 15_000; // ms
const WANTED = "turns wanted", SEEN = "turns seen";
const box = document.querySelector("[data-turns-wanted]");
const supported = "Notification" in window && "locks" in navigator;
const wanted = () => supported && Notification.permission === "granted" && localStorage.getItem(WANTED) === "yes";
let etag = "";

const tell = ({ key, title, body, address }) => {
  const notice = new Notification(title, { body, tag: key });
  notice.addEventListener("click", () => {
    window.focus();
    location.assign(address);
  });
};

const ask = async () => {
  const answer = await fetch("/turns.json", { headers: { "X-Requested-With": "fetch", ...(etag && { "If-None-Match": etag }) } });
  if (answer.status !== 200) return; // 304: nothing new; signed out: the page says so itself
  etag = answer.headers.get("ETag") || "";
  const { turns } = await answer.json();
  const before = localStorage.getItem(SEEN);
  const seen = new Set(JSON.parse(before || "[]"));
  localStorage.setItem(SEEN, JSON.stringify(turns.map(({ key }) => key)));
  if (before !== null) turns.filter(({ key }) => !seen.has(key)).forEach(tell); // the first answer is where one starts from
};

const watch = () => navigator.locks.request("signoff turns", async () => {
  while (wanted()) {
    try {
      await ask();
    } catch {
      etag = ""; // the server is away; the next round asks again
    }
    await new Promise((resolve) => { setTimeout(resolve, EVERY); });
  }
});
if (wanted()) watch();

if (box) {
  const say = () => {
    box.checked = wanted();
    box.disabled = !supported || Notification.permission === "denied";
    const hint = document.getElementById("turns-hint");
    if (!supported) hint.textContent = "This browser cannot show notices from here.";
    else if (Notification.permission === "denied") hint.textContent = "This browser forbids notices from Signoff: allow them in its settings for this site.";
  };
  box.addEventListener("change", async () => {
    if (!box.checked) localStorage.removeItem(WANTED);
    else if (await Notification.requestPermission() === "granted") {
      localStorage.setItem(WANTED, "yes");
      localStorage.removeItem(SEEN);
      watch();
    }
    say();
  });
  say();
}
