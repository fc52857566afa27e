"use strict";
// The page as the server wrote it is whole. This keeps it so: it hears from the
// server which pools changed, asks for those parts again, and puts what differs
// in its place. Nothing is rendered here.
(() => {
  const root = document.documentElement;
  const list = document.getElementById("pools");
  const form = document.getElementById("filter");
  const live = document.getElementById("live");

  const batch = 40; // pools asked for by name at a time
  const changed = new Set(); // pools to ask for
  const around = ""; // no pool, but what stands around them
  let all = false; // or the whole page
  let unfold = false; // the reader filtered: show where it was found
  let connected = false;
  let last = root.dataset.event; // id of the last event heard
  let wait = 200, timer = 0, busy = false;

  // load asks for what the reader sees, or for these pools of it.
  async function load(pools) {
    const url = new URL(location.href);
    url.pathname = "/status";
    url.hash = "";
    for (const pool of pools) url.searchParams.append("part", pool);
    const answer = await fetch(url, { headers: { Accept: "text/html" } });
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (page.documentElement.dataset.version !== root.dataset.version) location.reload();
    return page;
  }

  // swap puts new content into an element, if it differs. What was unfolded in
  // it stays so, and what had the focus has it again.
  function swap(old, now) {
    if (old.innerHTML === now.innerHTML) return false;
    const open = [...old.querySelectorAll("details[open]")].map((d) => d.id);
    const focus = document.activeElement;
    const inside = focus !== old && old.contains(focus);
    old.replaceChildren(...now.childNodes);
    for (const d of old.querySelectorAll("details")) d.open = open.includes(d.id);
    if (inside) {
      const same = (e) => e.textContent === focus.textContent;
      [...old.querySelectorAll(focus.tagName)].find(same)?.focus({ preventScroll: true });
    }
    return true;
  }

  // patch brings a pool up to date. Its folds are the reader's.
  function patch(old, now) {
    let differs = swap(old.querySelector("summary"), now.querySelector("summary"));
    if (!("lazy" in now.dataset)) {
      differs = swap(old.querySelector(".body"), now.querySelector(".body")) || differs;
      delete old.dataset.lazy;
    } else if (old.open) {
      changed.add(old.dataset.pool); // named, it comes with its servers
    }
    old.dataset.at = now.dataset.at;
    old.className = now.className;
    if (unfold && now.open) old.open = true;
    if (differs) flash(old);
  }

  function flash(element) {
    element.classList.remove("changed");
    void element.offsetWidth; // lets the animation begin anew
    element.classList.add("changed");
  }

  const byPool = (elements) => new Map([...elements].map((e) => [e.dataset.pool, e]));
  const poolsOf = (page) => byPool(page.getElementById("pools").children);

  // showAll makes the list what the page has, and moves nothing that can stay.
  function showAll(page) {
    const known = byPool(list.children), wanted = poolsOf(page);
    for (const [pool, element] of known) if (!wanted.has(pool)) element.remove();
    let here = list.firstElementChild;
    for (const [pool, now] of wanted) {
      const old = known.get(pool);
      if (old && pool !== "") patch(old, now);
      if (here !== null && here === old) here = here.nextElementSibling;
      else list.insertBefore(old || now, here);
    }
  }

  // showSome does the same for pools that were asked for. One that did not come
  // is none the reader wants to see.
  function showSome(page, pools) {
    const known = byPool(list.children), wanted = poolsOf(page);
    for (const pool of pools) {
      const old = known.get(pool), now = wanted.get(pool);
      if (pool === around) continue;
      if (!now) old?.remove();
      else if (old) patch(old, now);
      else insert(now);
    }
    if (list.childElementCount === 0) all = true; // the server has words for that
  }

  function insert(now) {
    now.open = false;
    const behind = (e) => Number(e.dataset.at) > Number(now.dataset.at);
    list.insertBefore(now, [...list.children].find(behind) || null);
    list.querySelector('[data-pool=""]')?.remove();
    flash(now);
  }

  async function refresh() {
    timer = 0;
    busy = true;
    const began = performance.now();
    const whole = all || changed.size > 5 * batch;
    const pools = whole ? [] : [...changed].slice(0, batch);
    try {
      if (whole) changed.clear();
      for (const pool of pools) changed.delete(pool);
      all = false;
      const page = await load(pools);
      if (whole) showAll(page);
      else showSome(page, pools);
      if (whole) unfold = false;
      for (const id of ["counts", "attention", "shown", "routers", "changes"]) {
        swap(document.getElementById(id), page.getElementById(id));
      }
      document.title = page.title;
      wait = Math.min(5000, Math.max(200, 5 * (performance.now() - began)));
    } catch {
      all = true;
      wait = 5000;
    }
    busy = false;
    soon();
  }

  function soon() {
    if (timer || busy || !connected || document.hidden || !(all || changed.size > 0)) return;
    timer = setTimeout(refresh, wait);
  }

  function mark(pool) {
    if (pool === undefined) all = true;
    else changed.add(pool);
    soon();
  }

  function say(word, text) {
    live.hidden = false;
    live.className = word;
    if (live.textContent !== text) live.textContent = text;
  }

  // connect hears of changes from the last one heard on. The browser connects
  // again by itself, but not to a server that refused.
  function connect() {
    const events = new EventSource(`/v1/events?brief=true&last_event_id=${encodeURIComponent(last)}`);
    const on = (event, act) => events.addEventListener(event, (e) => {
      last = e.lastEventId;
      act(e.data);
    });
    on("pool", (data) => mark(JSON.parse(data).pool));
    on("pools", () => mark());
    on("bgp", () => mark(around));
    on("warning", () => mark(around));
    events.onopen = () => {
      connected = true;
      say("", "live");
      soon();
    };
    events.onerror = () => {
      connected = false;
      say("lost", "connection lost, trying again");
      if (events.readyState === EventSource.CLOSED) setTimeout(connect, 5000);
    };
  }

  function filter() {
    const url = new URL(location.href);
    const typed = new FormData(form);
    url.pathname = "/status";
    for (const name of ["q", "trouble"]) {
      if (typed.get(name)) url.searchParams.set(name, typed.get(name));
      else url.searchParams.delete(name);
    }
    history.replaceState(null, "", url);
    all = unfold = true;
    clearTimeout(timer);
    timer = busy ? 0 : setTimeout(refresh, 150);
  }

  form.addEventListener("input", filter);
  form.addEventListener("submit", (e) => {
    e.preventDefault();
    filter();
  });
  list.addEventListener("toggle", (e) => {
    if (e.target.open && "lazy" in e.target.dataset) mark(e.target.dataset.pool);
  }, true);
  document.addEventListener("visibilitychange", soon);
  connect();
})();
