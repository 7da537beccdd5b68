"use strict";
(() => {
// ---- Elements: h makes them, patch moves what is there to what should be, so that focus
// and selection stay. Text is only ever text.

const SVG = "http://www.w3.org/2000/svg";

function h(tag, attrs, ...children) {
  const svg = tag.startsWith("svg:");
  const e = svg ? document.createElementNS(SVG, tag.slice(4)) : document.createElement(tag);
  for (const [k, v] of Object.entries(attrs || {})) {
    if (v === null || v === undefined || v === false) continue;
    if (k === "on") e.addEventListener("click", v);
    else e.setAttribute(k, v === true ? "" : v);
  }
  e.append(...children.flat(9).filter((c) => c !== null && c !== undefined && c !== false && c !== ""));
  return e;
}

function patch(to, from) {
  for (const a of [...to.attributes]) if (!from.hasAttribute(a.name) && a.name !== "open") to.removeAttribute(a.name);
  for (const a of from.attributes) if (to.getAttribute(a.name) !== a.value) to.setAttribute(a.name, a.value);
  const want = [...from.childNodes];
  want.forEach((w, i) => {
    const is = to.childNodes[i];
    if (!is) to.append(w);
    else if (is.nodeType !== w.nodeType || is.nodeName !== w.nodeName || w.dataset?.key !== is.dataset?.key) is.replaceWith(w);
    else if (w.nodeType === Node.TEXT_NODE) { if (is.data !== w.data) is.data = w.data; }
    else patch(is, w);
  });
  while (to.childNodes.length > want.length) to.lastChild.remove();
}

// ---- Words and shapes

const plural = (n, one, many) => `${count(n)} ${n === 1 ? one : many || one + "s"}`;
const count = (n) => Number(n).toLocaleString("en-US").replaceAll(",", "\u202f");
const list = (a) => a.length < 2 ? a.join("") : a.slice(0, -1).join(", ") + " and " + a.at(-1);
const upper = (s) => s.charAt(0).toUpperCase() + s.slice(1);

function millis(ms) {
  if (ms > 0 && ms < 0.1) return Math.max(1, Math.round(ms * 1000)) + "\u00a0µs";
  if (ms === 0) return "0\u00a0ms";
  if (ms < 10) return ms.toFixed(1) + "\u00a0ms";
  if (ms < 1000) return Math.round(ms) + "\u00a0ms";
  return (ms / 1000).toFixed(ms < 10000 ? 1 : 0) + "\u00a0s";
}

function duration(s) {
  if (s < 0) s = 0;
  if (s < 60) return Math.floor(s) + " s";
  if (s < 3600) return Math.floor(s / 60) + " min";
  if (s < 86400) return Math.floor(s / 3600) + " h " + Math.floor(s % 3600 / 60) + " min";
  return Math.floor(s / 86400) + " d " + Math.floor(s % 86400 / 3600) + " h";
}

const never = (t) => !t || t.startsWith("0001-");
const ago = (t) => never(t) ? "–" : duration((now() - Date.parse(t)) / 1000) + " ago";

function clock(t) {
  const d = new Date(t), two = (n) => String(n).padStart(2, "0");
  return `${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}`;
}

function day(t) {
  const d = new Date(t), n = new Date(now());
  if (d.toDateString() === n.toDateString()) return "";
  return d.toLocaleDateString("en-GB", { day: "numeric", month: "short" });
}

// Each state has a shape of its own.
const shapes = {
  full: [["circle", { cx: 8, cy: 8, r: 6.5, fill: "currentColor" }]],
  ring: [["circle", { cx: 8, cy: 8, r: 5.5, fill: "none", stroke: "currentColor", "stroke-width": 2.4 }]],
  alarm: [["path", { d: "M8 1.2 15.2 14.4H.8z", fill: "currentColor" }]],
  dashed: [["circle", { cx: 8, cy: 8, r: 5.6, fill: "none", stroke: "currentColor", "stroke-width": 2.2, "stroke-dasharray": "2.9 2.9" }]],
  cross: [["path", { d: "M3 3l10 10M13 3 3 13", stroke: "currentColor", "stroke-width": 3, "stroke-linecap": "round" }]],
  check: [["path", { d: "M2 8.6 6.2 13 14 3.6", fill: "none", stroke: "currentColor", "stroke-width": 2.8, "stroke-linecap": "round", "stroke-linejoin": "round" }]],
  square: [["rect", { x: 2.5, y: 2.5, width: 11, height: 11, rx: 2, fill: "currentColor" }]],
  half: [["circle", { cx: 8, cy: 8, r: 5.8, fill: "none", stroke: "currentColor", "stroke-width": 2 }], ["path", { d: "M8 2.2a5.8 5.8 0 0 1 0 11.6z", fill: "currentColor" }]],
};

const shape = (name, cls) => h("svg:svg", { viewBox: "0 0 16 16", "aria-hidden": "true", class: cls },
  shapes[name].map(([t, a]) => h("svg:" + t, a)));

const looks = {
  active: ["full", "good"], backup: ["ring", ""], fault: ["alarm", "bad"], initialize: ["dashed", "soft"], unknown: ["dashed", "soft"],
  up: ["check", "good"], down: ["cross", "bad"], ok: ["check", "good"], degraded: ["alarm", "warn"], failed: ["cross", "bad"],
  drained: ["half", "soft"], spare: ["ring", "soft"], full: ["square", "warn"], waiting: ["dashed", "warn"],
  takeover: ["full", "good"], alarm: ["alarm", "warn"], reload: ["square", "soft"], info: ["ring", "soft"],
};
const look = (s) => looks[s] || looks.unknown;
const state = (s, word) => h("span", { class: "state " + look(s)[1] }, shape(look(s)[0]), word || s);

// ---- What is known

let view = null, skew = 0, range = "fine", spoken = null;
const trend = { fine: null, coarse: null };
const now = () => Date.now() + skew;

const grave = new Set(["split-brain", "apply-failed", "no-peer", "peer-incompatible", "conntrack-full", "watchdog-failed", "duplicate-address"]);

function roleOf(groups) {
  if (!groups.length) return "unknown";
  const states = new Set(groups.map((g) => g.state));
  for (const s of ["fault", "active", "backup", "initialize"]) if (states.has(s)) return s;
  return "unknown";
}

function roleText(groups) {
  const role = roleOf(groups), n = groups.filter((g) => g.state === role).length;
  const word = { active: "Active", backup: "Standing by", fault: "Fault", initialize: "Starting", unknown: "Not heard" }[role];
  return n === groups.length || !groups.length ? word : `${word} for ${n} of ${groups.length} groups`;
}

// nodes joins what this node says, what its peers say of themselves, and what is heard of them.
function nodes(v) {
  const here = { name: v.here.node, here: true, status: v.here, groups: v.here.groups, role: roleOf(v.here.groups) };
  const names = new Set([...v.peers.map((p) => p.name), ...(v.here.sessions?.peers || []).map((p) => p.name), ...v.here.guard.peers.map((p) => p.name)]);
  const others = [...names].sort().map((name) => {
    const p = v.peers.find((x) => x.name === name), link = v.here.sessions?.peers.find((x) => x.name === name), heard = v.here.guard.peers.find((x) => x.name === name);
    const fresh = heard?.last_heartbeat && now() - Date.parse(heard.last_heartbeat) < 2000;
    const n = { name, link, heard, fresh, status: p?.status || null, age: p?.age_seconds, why: p?.why || "" };
    n.groups = n.status ? n.status.groups : fresh ? heard.groups : [];
    n.role = roleOf(n.groups);
    n.reached = Boolean(n.status || link?.connected || fresh);
    return n;
  });
  // Two nodes keep their places, whichever is asked.
  return [here, ...others].sort((a, b) => a.name < b.name ? -1 : 1);
}

// verdict says in a sentence what a crash would do now.
function verdict(v, all) {
  const s = v.here.sessions, names = new Set(v.here.alarms.map((a) => a.name));
  const active = all.filter((n) => n.groups.some((g) => g.state === "active"));
  const others = all.filter((n) => !n.here), gone = others.filter((n) => !n.reached);
  const both = v.here.groups.filter((g) => active.filter((n) => n.groups.some((x) => x.name === g.name && x.state === "active")).length > 1);
  const none = v.here.groups.filter((g) => !active.some((n) => n.groups.some((x) => x.name === g.name && x.state === "active")));
  if (names.has("split-brain")) return ["bad", "Two nodes serve at once", [`Both claim to be active${both.length ? " for " + list(both.map((g) => g.name)) : ""}. Look at the segment between them.`]];
  if (both.length) return ["wait", "Handing over", [`${list(active.map((n) => n.name))} both serve ${list(both.map((g) => g.name))} for the moment.`]];
  if (none.length) return ["bad", none.length === v.here.groups.length ? "Nobody is active" : `Nobody is active for ${list(none.map((g) => g.name))}`, ["No node that is heard here holds the addresses."]];
  const who = list(active.map((n) => n.name)), it = active.length > 1 ? "One of " + who : who;
  if (!others.length && !s) return ["wait", `${who} is active`, ["Nothing is known of another node: there is no [sessions], and no heartbeat."]];
  if (others.length && gone.length === others.length) {
    const n = s ? s.local : 0;
    return ["bad", "Not protected", [h("b", null, list(gone.map((x) => x.name))), " cannot be reached. ",
      n ? ["If ", h("b", null, v.here.node), " died now, ", h("b", null, plural(n, "session")), " would be lost with it."] : "There is nobody to take over."]];
  }
  const owner = active.find((n) => n.status?.sessions), os = owner?.status.sessions;
  const heir = list(all.filter((n) => n.groups.some((g) => g.state === "backup")).map((n) => n.name));
  if (!heir) return ["bad", "Not protected", ["No node stands by."]];
  if (!os && s && !s.in_sync) return ["wait", "Catching up", [h("b", null, v.here.node), ` does not have all sessions of ${it} yet.`]];
  if (!os) return [v.here.alarms.length ? "warn" : "good", v.here.alarms.length ? `Standing by, with ${plural(v.here.alarms.length, "alarm")}` : "Standing by", ["If ", h("b", null, it), " died now, ", h("b", null, heir),
    " would take over", s ? [", with the ", h("b", null, plural(s.foreign, "session")), " that it holds"] : "", "."]];
  const syncing = all.filter((n) => n.status?.sessions && !n.status.sessions.in_sync).map((n) => n.name);
  const lost = os.unprotected.total;
  const tail = [h("b", null, heir), " would take over, and "];
  if (syncing.length) return ["wait", "Catching up", [h("b", null, list(syncing)), " does not have all sessions yet. ", lost ? [plural(lost, "session"), " would be lost if ", it, " died now."] : ""]];
  const sentence = lost === 0
    ? ["If ", h("b", null, it), " died now, ", tail, os.local ? [h("b", null, os.local === 1 ? "its one session" : `all ${count(os.local)} sessions`), " would go on."] : "no session would be lost: there is none."]
    : ["If ", h("b", null, it), " died now, ", tail, h("b", null, plural(lost, "session")), ` of ${count(os.local)} would be lost: ${reasons(os.unprotected)}.`];
  if (v.here.alarms.length) return ["warn", `Protected, with ${plural(v.here.alarms.length, "alarm")}`, sentence];
  return ["good", "Protected", sentence];
}

function reasons(u) {
  return list([[u.unsynced, "not known to be at a peer"], [u.young, "young"], [u.dirty, "not sent yet"], [u.in_flight, "in flight"], [u.refused, "refused"],
    [u.not_replicable, "not established"], [u.excluded, "excluded by class"], [u.offloaded, "in flowtables"]].filter(([n]) => n > 0).map(([n, w]) => `${count(n)} ${w}`));
}

// ---- Parts of the page

const panel = (title, n, id, ...body) => h("section", { class: "panel", "aria-labelledby": id, "data-key": id },
  h("h2", { id }, title, n === null ? null : h("span", { class: "count" }, String(n))), body);

function table(caption, heads, rows) {
  return h("table", null, h("caption", { class: "out" }, caption),
    h("thead", null, h("tr", null, heads.map(([t, c]) => h("th", { scope: "col", class: c }, t)))), h("tbody", null, rows));
}

function verdictPart(v, all) {
  const [kind, title, text] = verdict(v, all);
  const look = { good: ["check", "good"], warn: ["alarm", "warn"], wait: ["half", "warn"], bad: ["cross", "bad"] }[kind];
  return h("section", { class: "verdict", "aria-label": "In a sentence", "data-kind": kind }, shape(look[0], look[1]), h("h1", null, title), h("p", null, text));
}

function alarmsPart(all) {
  const rows = all.flatMap((n) => (n.status?.alarms || []).map((a) => ({ ...a, node: n.name })));
  for (const n of all) if (n.status?.reload_error) rows.push({ name: "reload-refused", node: n.name, detail: n.status.reload_error, since: null });
  if (!rows.length) return null;
  rows.sort((a, b) => grave.has(b.name) - grave.has(a.name) || a.name.localeCompare(b.name) || a.node.localeCompare(b.node));
  return h("ul", { class: "alarms" + (rows.some((a) => grave.has(a.name)) ? " grave" : ""), "aria-label": plural(rows.length, "alarm"), "data-key": "alarms" }, rows.map((a) =>
    h("li", { class: grave.has(a.name) ? "grave" : null }, shape("alarm"),
      h("b", null, h("span", { class: "out" }, grave.has(a.name) ? "grave alarm " : "alarm "), a.name, h("span", { class: "soft" }, " · " + a.node)),
      h("span", { class: "detail" }, a.detail), h("span", { class: "since" }, a.since ? ago(a.since) : ""))));
}

const shown = 10; // routers of a node that are listed

function nodePart(n) {
  const s = n.status, id = "node-" + n.name;
  const role = n.role === "initialize" ? "unknown" : n.role;
  let facts;
  if (s) {
    facts = [s.version, "up " + duration(s.uptime_seconds)];
    if (s.election.version && s.election.version !== s.version) facts.push("its election " + s.election.version);
    if (n.age > 4) facts.push(`as of ${duration(n.age)} ago`);
  } else if (n.fresh) facts = ["as its heartbeats say", n.why];
  else facts = [n.heard?.last_heartbeat ? "last heard " + ago(n.heard.last_heartbeat) : "nothing is heard of it", n.why];
  const body = [];
  if (s) {
    for (const why of new Set(s.routers.filter((r) => r.state === "fault" && r.reason).map((r) => r.reason))) body.push(h("p", { class: "why" }, upper(why)));
    const rows = s.routers.slice(0, shown).map((r) => h("tr", null,
      h("th", { scope: "row" }, r.name, h("span", { class: "addr" }, r.addresses.slice(0, 3).map((a, i) => [i ? h("br") : "", a]), r.addresses.length > 3 ? [h("br"), `and ${r.addresses.length - 3} more`] : "")),
      h("td", { class: "fit" }, state(r.state)),
      h("td", { class: "fit num" }, String(r.effective_priority), r.effective_priority !== r.priority ? h("span", { class: "sub" }, `of ${r.priority}`) : ""),
      h("td", { class: "wide" }, r.interface, h("span", { class: "sub" }, `VRID ${r.vrid}`)),
      h("td", { class: "fit num" }, never(r.last_transition) ? "–" : duration((now() - Date.parse(r.last_transition)) / 1000))));
    body.push(table(`Virtual routers of ${n.name}`, [["Router"], ["State", "fit"], ["Priority", "fit num"], ["Interface", "wide"], ["For", "fit num"]], rows));
    if (s.routers.length > shown) body.push(h("p", { class: "more" }, `and ${s.routers.length - shown} more`));
  } else if (n.groups.length) {
    body.push(table(`What ${n.name} says of its routers`, [["Router"], ["State", "fit"], ["Priority", "fit num"], ["Heard", "fit"]], n.groups.flatMap((g) => g.routers.map((r) =>
      h("tr", null, h("th", { scope: "row" }, r.name, h("span", { class: "addr" }, r.source)), h("td", { class: "fit" }, state(g.state)), h("td", { class: "num" }, String(r.priority)),
        h("td", { class: "fit" }, [r.heard ? "here" : "", r.hears_us ? "there" : ""].filter(Boolean).join(", ") || "–"))))));
  }
  return h("section", { class: "panel node is-" + role, "aria-labelledby": id, "data-key": id },
    h("div", { class: "node-head" }, h("h3", { id }, n.name),
      h("span", { class: "badge " + role }, shape(look(n.role)[0]), roleText(n.groups)), n.here ? h("span", { class: "you" }, "you look here") : null),
    h("p", { class: "node-facts" }, facts.filter(Boolean).join(" · ")), body);
}

function linkPart(v, all) {
  const s = v.here.sessions, other = all.find((n) => !n.here);
  const link = other?.link, up = link?.connected;
  const right = all[0].role === "active";
  const body = [];
  // From who is active to who is not; broken where there is no link.
  const tip = right ? "M91 9 99 17 91 25" : "M9 9 1 17 9 25";
  body.push(h("svg:svg", { viewBox: "0 0 100 34", "aria-hidden": "true", class: up ? "good" : "bad" },
    h("svg:path", { d: up ? "M2 17H98" : "M2 17H40M60 17H98", stroke: "currentColor", "stroke-width": 1.6, fill: "none" }),
    up ? h("svg:path", { d: tip, stroke: "currentColor", "stroke-width": 1.8, fill: "none", "stroke-linecap": "round", "stroke-linejoin": "round" })
      : h("svg:path", { d: "M45 12l10 10M55 12 45 22", stroke: "currentColor", "stroke-width": 2.2, "stroke-linecap": "round" })));
  if (!s) body.push(h("p", { class: "soft" }, "no sessions are replicated"));
  else if (!up) body.push(h("p", { class: "bad" }, "no session link"));
  else {
    const owner = all.find((n) => n.role === "active" && n.status?.sessions) || all.find((n) => n.here), os = owner.status.sessions;
    const lag = os.lag_seconds;
    body.push(h("p", { class: "lag" }, lag === null || lag === undefined ? "–" : millis(lag * 1000)), h("p", { class: "soft" }, "behind"),
      h("p", { class: "soft" }, os.dirty ? plural(os.dirty, "change") + " to send" : "nothing left to send"),
      h("p", { class: "soft" }, all.some((n) => n.status?.sessions && !n.status.sessions.in_sync) ? h("span", { class: "warn" }, "not in sync") : "in sync"));
  }
  return h("div", { class: "link", role: "group", "aria-label": "Session link", "data-key": "link" }, body);
}

function pairPart(v, all) {
  const parts = all.map(nodePart);
  if (all.length === 2) parts.splice(1, 0, linkPart(v, all));
  else if (all.length > 2) parts.push(linkPart(v, all));
  return h("div", { class: "pair" + (all.length > 2 ? " many" : all.length === 1 ? " one" : ""), "data-key": "pair" }, parts);
}

// ---- Charts: the past as far as it is remembered, in a fixed span, newest at the right.

const spans = { fine: "10 min", coarse: "24 h" };

// spanOf is as much of the past as there is, in seconds, in a round number, with the words
// for it, for the half of it, and for a sentence.
function spanOf(c) {
  const have = c.at.length ? (c.at.at(-1) - c.at[0]) / 1000 : 0;
  const all = range === "fine"
    ? [[60, "1 min", "30 s", "minute"], [120, "2 min", "1 min", "two minutes"], [300, "5 min", "2½ min", "five minutes"], [600, "10 min", "5 min", "ten minutes"]]
    : [[3600, "1 h", "30 min", "hour"], [10800, "3 h", "1½ h", "three hours"], [43200, "12 h", "6 h", "twelve hours"], [86400, "24 h", "12 h", "day"]];
  return all.find(([s]) => have <= s) || all.at(-1);
}

function nice(v) {
  if (v <= 0) return 1;
  const e = Math.pow(10, Math.floor(Math.log10(v)));
  for (const m of [1, 2, 5, 10]) if (v <= m * e) return m * e;
  return v;
}

// runs calls fn for each stretch of samples without a hole.
function points(c, col, end, span, top, gaps) {
  const runs = [];
  let run = null, last = 0;
  c.at.forEach((t, i) => {
    const x = 1000 * (1 - (end - t) / 1000 / span), y = col[i];
    if (x < 0) return;
    if (y < 0 || (last && t - last > 3500 * c.step)) run = null;
    last = t;
    if (y < 0) { if (gaps) gaps.push(x); return; }
    if (!run) runs.push(run = []);
    run.push([x, 100 * (1 - Math.min(1, y / top))]);
  });
  return runs;
}

const d1 = (n) => n.toFixed(1);
const lineOf = (run) => run.map(([x, y], i) => (i ? "L" : "M") + d1(x) + " " + d1(y)).join("") + (run.length === 1 ? "h1" : "");
const areaOf = (run) => lineOf(run) + `L${d1(run.at(-1)[0])} 100L${d1(run[0][0])} 100Z`;

function plot(id, label, c, series, unit) {
  const [span] = spanOf(c), end = c.at.length ? c.at.at(-1) : now();
  const top = nice(Math.max(...series.flatMap((s) => s.col.filter((y, i) => end - c.at[i] < span * 1000)), series[0].least || 0));
  const gaps = [], marks = [];
  for (const s of series) for (const run of points(c, s.col, end, span, top, s.gaps ? gaps : null)) {
    if (s.area) marks.push(h("svg:path", { class: "area " + s.cls, d: areaOf(run) }));
    marks.push(h("svg:path", { class: "line " + s.cls, d: lineOf(run) }));
  }
  const width = Math.max(1000 * c.step / span, 1);
  return h("div", { class: "plot" },
    h("svg:svg", { viewBox: "0 0 1000 100", preserveAspectRatio: "none", role: "img", "aria-labelledby": id + "-text" },
      [0, 50, 100].map((y) => h("svg:path", { class: "grid", d: `M0 ${y}H1000` })),
      gaps.map((x) => h("svg:rect", { class: "gap", x: d1(x - width), y: 0, width: d1(width * 1.05), height: 100 })), marks),
    h("span", { class: "max", "aria-hidden": "true" }, unit(top)), h("span", { class: "mid", "aria-hidden": "true" }, unit(top / 2)),
    h("p", { class: "out", id: id + "-text" }, label));
}

function strip(c) {
  const [span] = spanOf(c), end = c.at.length ? c.at.at(-1) : now(), width = 1000 * c.step / span;
  const bars = [];
  c.at.forEach((t, i) => {
    const x = 1000 * (1 - (end - t) / 1000 / span);
    if (x < 0) return;
    const cls = !(c.state[i] & 1) ? "unsynced" : c.state[i] & 2 ? "on" : "off", lastBar = bars.at(-1);
    if (lastBar && lastBar.cls === cls && x - lastBar.to < 2.5 * width) lastBar.to = x;
    else bars.push({ cls, from: x - width, to: x });
  });
  return h("svg:svg", { class: "strip", viewBox: "0 0 1000 5", preserveAspectRatio: "none", "aria-hidden": "true" },
    bars.map((b) => h("svg:rect", { class: b.cls, x: d1(b.from), y: 0, width: d1(b.to - b.from + 0.2), height: 5 })));
}

const ticks = (c) => h("div", { class: "axis", "aria-hidden": "true" }, [spanOf(c)[1] + " ago", spanOf(c)[2], "now"].map((t) => h("span", null, t)));

function ranges() {
  return h("div", { class: "ranges", role: "group", "aria-label": "How far back" }, Object.entries(spans).map(([k, short]) =>
    h("button", { type: "button", "aria-pressed": String(range === k), "data-range": k }, short)));
}

function chartsPart(v) {
  const s = v.here.sessions, c = trend[range];
  if (!s || !c) return null;
  const word = spanOf(c)[3];
  const key = (cls, text, dash) => h("span", null, h("svg:svg", { viewBox: "0 0 18 8", "aria-hidden": "true" }, h("svg:path", { class: "line " + cls, d: "M0 4H18" })), text);
  const stripKey = (cls, text) => h("span", null, h("svg:svg", { viewBox: "0 0 18 8", "aria-hidden": "true", class: "strip" }, h("svg:rect", { class: cls, width: 18, height: 4, y: 2 })), text);
  const lags = c.lag.filter((l) => l >= 0), worst = lags.length ? Math.max(...lags) : 0;
  const lag = s.lag_seconds;
  const empty = !c.at.length && range === "coarse" ? h("p", { class: "soft" }, "The first full minute is not over yet.") : null;
  return h("div", { class: "cols", "data-key": "charts" },
    h("section", { class: "panel", "aria-labelledby": "t-sessions" },
      h("div", { class: "chart-head" }, h("h2", { id: "t-sessions" }, "Sessions at " + v.here.node), h("p", { class: "now" }, count(s.local + s.foreign), " ", h("small", null, s.foreign && !s.local ? "held for a peer" : "")), ranges()),
      empty, plot("p-sessions", `Sessions over the last ${word}: now ${s.local} own and ${s.foreign} held for peers; at most ${Math.max(0, ...c.own)} own, ${Math.max(0, ...c.held)} held.`, c,
        [{ col: c.own, cls: "own", area: true, least: 10 }, { col: c.held, cls: "held" }], count),
      strip(c), ticks(c),
      h("div", { class: "legend" }, key("own", "own"), key("held", "held for peers"), stripKey("on", "active"), stripKey("off", "standing by"), stripKey("unsynced", "not in sync"))),
    h("section", { class: "panel", "aria-labelledby": "t-lag" },
      h("div", { class: "chart-head" }, h("h2", { id: "t-lag" }, "Lag of the peer"), h("p", { class: "now" }, lag === null || lag === undefined ? "no peer" : millis(lag * 1000), " ", h("small", null, lags.length ? `worst ${millis(worst)}` : ""))),
      empty ? h("p", { class: "soft" }, "\u00a0") : null,
      plot("p-lag", `Lag over the last ${word}: at most ${millis(worst)}.${c.lag.some((l) => l < 0) ? " At times no peer was connected." : ""}`, c, [{ col: c.lag, cls: "lag", area: true, gaps: true, least: 1 }], millis),
      h("svg:svg", { class: "strip", viewBox: "0 0 1000 5", "aria-hidden": "true" }), ticks(c),
      h("div", { class: "legend" }, key("lag", "what a crash now would lose, in time"), h("span", null, h("svg:svg", { viewBox: "0 0 18 8", "aria-hidden": "true" }, h("svg:rect", { class: "gap", width: 18, height: 8 })), "no peer connected"))));
}

// happened is the look of a moment: of a change of state, that of the new one.
function happened(m) {
  if (m.kind === "alarm") return m.to === "cleared" ? ["check", "soft"] : ["alarm", "warn"];
  return looks[m.to] || ["square", "soft"];
}

// phases is how long the parts took, as a bar and in words.
function phases(m) {
  const all = m.phases || [], sum = all.reduce((n, p) => n + p.seconds, 0);
  if (!sum) return null;
  let x = 0;
  return h("div", { class: "phases" }, h("svg:svg", { viewBox: "0 0 200 6", preserveAspectRatio: "none", "aria-hidden": "true" }, all.map((p, i) => {
    const w = 200 * p.seconds / sum, r = h("svg:rect", { x: d1(x), y: 0, width: d1(Math.max(0.5, w - 1)), height: 6, class: "phase p" + i % 6 });
    x += w;
    return r;
  })), h("span", { class: "detail" }, all.map((p) => `${p.name} ${millis(1000 * p.seconds)}`).join(" · ")));
}

const recently = 12; // events that are shown at once

function event(m) {
  return h("li", { "data-key": "event-" + m.id, class: m.kind === "transition" ? "change" : null },
    h("time", { datetime: m.at, title: m.at }, day(m.at) ? [day(m.at), h("br")] : null, clock(m.at)), shape(...happened(m)),
    h("div", { class: "what" }, h("span", { class: "text" }, upper(m.text)), m.times > 1 ? ` (${count(m.times)} times)` : "",
      m.duration_seconds ? [" · ", h("b", null, millis(1000 * m.duration_seconds))] : null, m.open ? " and goes on" : null,
      phases(m),
      m.evidence?.length ? h("details", null, h("summary", null, "What was known then"), h("ul", null, m.evidence.map((e) => h("li", null, e)))) : null));
}

function historyPart(v) {
  const all = v.history, rest = all.slice(recently);
  return panel("What happened here", null, "t-history",
    all.length ? h("ol", { class: "line-list" }, all.slice(0, recently).map(event)) : h("p", { class: "soft" }, "Nothing yet."),
    rest.length ? h("details", { class: "earlier" }, h("summary", null, `${rest.length} before that`), h("ol", { class: "line-list" }, rest.map(event))) : null,
    all.length ? h("p", { class: "more" }, "understudy events tells all of it.") : null);
}

function checksPart(s) {
  if (!s.checks.length) return null;
  const rank = { down: 0, unknown: 1, up: 2 }, all = [...s.checks].sort((a, b) => rank[a.state] - rank[b.state] || a.name.localeCompare(b.name));
  const down = all.filter((c) => c.state === "down").length, most = 40;
  return panel("Checks", down ? `${down} of ${all.length} down` : `${all.length}, ${all.every((c) => c.state === "up") ? "all up" : "not all known yet"}`, "t-checks",
    table("Health checks, those that are down first", [["Check"], ["State", "fit"], ["For", "fit num"], ["Last try", "num"]], all.slice(0, most).map((c) => h("tr", null,
      h("th", { scope: "row" }, c.name, h("span", { class: "sub" }, c.kind, c.state !== "up" && c.last_error ? ": " + c.last_error : "")),
      h("td", { class: "fit" }, state(c.state), c.flapping ? h("span", { class: "sub warn" }, "flapping") : null, c.damped_until ? h("span", { class: "sub warn" }, "held down") : null),
      h("td", { class: "fit num" }, never(c.since) ? "–" : duration((now() - Date.parse(c.since)) / 1000)),
      h("td", { class: "num" }, c.results ? millis(c.took_seconds * 1000) : "–")))),
    all.length > most ? h("p", { class: "more" }, `and ${all.length - most} more`) : null);
}

function serverState(x) {
  if (x.drained) return state("drained");
  if (x.state === "down") return state("down");
  if (x.full) return state("full");
  if (x.spare && !x.share) return state("spare");
  return state(x.state);
}

function entriesPart(s) {
  const all = s.nat.entries, most = 12;
  if (!all.length) return null;
  return panel("Entry points", all.length, "t-entries", all.slice(0, most).map((e) => h("div", { class: "item", "data-key": "entry-" + e.name },
    h("div", { class: "item-head" }, h("b", null, e.name), h("code", { class: "soft" }, e.address), h("span", { class: "soft" }, e.steer), e.enough ? null : h("span", { class: "state bad" }, shape("alarm"), "not enough servers")),
    table(`Servers of ${e.name}`, [["Server"], ["State", "fit"], ["New flows", "fit"], ["Connections", "num wide"]], e.servers.slice(0, 16).map((x) => h("tr", null,
      h("th", { scope: "row" }, h("code", null, x.address)), h("td", { class: "fit" }, serverState(x)),
      h("td", { class: "fit" }, h("svg:svg", { class: "share", viewBox: "0 0 78 6", "aria-hidden": "true" }, h("svg:rect", { class: "track", x: 0.5, y: 0.5, width: 77, height: 5, rx: 2 }), h("svg:rect", { class: "fill", width: d1(78 * x.share), height: 6, rx: 2 })), Math.round(100 * x.share) + "\u00a0%"),
      h("td", { class: "num wide" }, x.connections === undefined || x.connections === null ? "–" : count(x.connections))))))),
    all.length > most ? h("p", { class: "more" }, `and ${all.length - most} more`) : null);
}

function bondsPart(s) {
  if (!s.bonds.length) return null;
  return panel("Bonds", s.bonds.length, "t-bonds", s.bonds.map((b) => h("div", { class: "item", "data-key": "bond-" + b.name },
    h("div", { class: "item-head" }, h("b", null, b.name), state(b.state), h("span", { class: "soft" }, `${b.mode}, ${b.carrying} of ${b.members.length} carry, ${b.needed} needed`)),
    h("ul", { class: "members", "aria-label": "Members" }, b.members.map((m) => h("li", { class: "chip" + (m.carries ? "" : " bad") }, shape(m.carries ? "check" : "cross", m.carries ? "good" : "bad"), m.interface,
      h("span", { class: "soft" }, m.carries ? "carries" : m.up ? "up, does not carry" : "no carrier")))),
    b.findings.length ? h("ul", null, b.findings.map((f) => h("li", { class: "sub" }, h("b", { class: f.severity === "critical" ? "bad" : f.severity === "warning" ? "warn" : "soft" }, f.severity), " ", f.detail || f.name))) : null)));
}

// quantile reads a bound off a histogram: the value that so many are not above.
function quantile(hist, q) {
  let sum = 0;
  for (const b of hist.buckets) {
    sum += b.count;
    if (sum >= q * hist.count && hist.count) return b.up_to_seconds === null ? hist.max_seconds : Math.min(b.up_to_seconds, hist.max_seconds);
  }
  return null;
}

function workPart(v) {
  const s = v.here, late = s.election.lateness, rows = [];
  const p99 = quantile(late, 0.99);
  rows.push(["Advert timers", late.count ? `99 % at most ${millis(p99 * 1000)} late, worst ${millis(late.max_seconds * 1000)}` : "not run yet", s.election.realtime ? "" : "not in the real-time class"]);
  const ad = s.routers.reduce((n, r) => ({ sent: n.sent + r.adverts.sent, received: n.received + r.adverts.received, dropped: n.dropped + Object.values(r.drops).reduce((a, b) => a + b, 0) }), { sent: 0, received: 0, dropped: 0 });
  rows.push(["Adverts", `${count(ad.sent)} sent, ${count(ad.received)} received`, ad.dropped ? `${count(ad.dropped)} refused` : ""]);
  if (s.nat.source + s.nat.forwards + s.nat.static) rows.push(["Translation", `${plural(s.nat.source, "source rule")}, ${plural(s.nat.forwards, "forward")}, ${count(s.nat.static)} static`, s.nat.drops ? `${count(Object.values(s.nat.drops).reduce((a, b) => a + b, 0))} packets refused by gate and leak guard` : ""]);
  if (s.sessions) {
    rows.push(["Replication", `${s.sessions.mode}, safe when ${s.sessions.ack}`, s.sessions.overload.step && s.sessions.overload.step !== "calm" ? "overload: " + s.sessions.overload.step : ""]);
    const j = s.sessions.journal;
    if (j && j.state !== "off") rows.push(["Journal", `${j.state}, ${(j.bytes / 1e6).toFixed(1)} MB`, j.last_error]);
  }
  rows.push(["Guard", s.guard.mode === "hold" ? `holds for at most ${s.guard.limit_seconds} s while ${s.guard.check} is up` : s.guard.mode === "alarm" ? "tells of a split brain" : s.guard.mode, ""]);
  return panel("Under the hood", null, "t-work", h("dl", { class: "facts" }, rows.flatMap(([k, t, w]) => [h("dt", null, k), h("dd", null, t, w ? h("span", { class: "sub" }, w) : null)])));
}

// ---- Putting it together

const $ = (id) => document.getElementById(id);

function render() {
  if (!view) return;
  const v = view, all = nodes(v), s = v.here;
  const right = [checksPart(s), entriesPart(s), bondsPart(s)].filter(Boolean);
  const left = [historyPart(v)];
  // The shorter column gets it.
  (right.length && v.history.length < 5 * right.length ? left : right).push(workPart(v));
  patch($("view"), h("div", { id: "view" }, verdictPart(v, all), alarmsPart(all), pairPart(v, all), chartsPart(v),
    h("div", { class: "cols", "data-key": "rest" }, h("div", { class: "stack" }, left), h("div", { class: "stack" }, right))));
  $("where").hidden = false;
  $("where").textContent = all.map((n) => n.name).join(" and ");
  const active = all.filter((n) => n.role === "active").map((n) => n.name);
  document.title = `${verdict(v, all)[1]} · ${active.length ? list(active) + " active" : "nobody active"} · Understudy`;
  patch($("foot"), h("footer", { class: "wrap", id: "foot" },
    h("p", null, `Read-only. Commands go to the control socket of ${s.node}: understudy failover, reload, upgrade.`),
    h("p", null, `Understudy ${s.version} · ${plural(v.viewers.now, "viewer")}`, v.viewers.dropped ? `, ${plural(v.viewers.dropped, "view")} skipped by slow ones` : "")));
  $("main").setAttribute("aria-busy", "false");
  speak(v, all);
}

// speak says aloud what changed: roles and alarms, not figures.
function speak(v, all) {
  const is = new Map();
  for (const n of all) is.set("node " + n.name, n.groups.length ? roleText(n.groups) : "not heard");
  for (const a of v.here.alarms) is.set("alarm " + a.name, a.detail);
  const said = [];
  if (spoken) {
    for (const [k, w] of is) {
      const [kind, name] = k.split(/ (.*)/);
      if (kind === "node" && spoken.get(k) !== w) said.push(`${name}: ${w}.`);
      if (kind === "alarm" && !spoken.has(k)) said.push(`Alarm ${name}: ${w}.`);
    }
    for (const k of spoken.keys()) if (k.startsWith("alarm ") && !is.has(k)) said.push(`${upper(k)} is over.`);
  }
  spoken = is;
  if (said.length) $("spoken").textContent = said.join(" ");
}

// grow adds samples to what is known, each once.
function grow(c, more, keep) {
  if (!c || !more) return;
  const last = c.at.length ? c.at.at(-1) : 0;
  more.at.forEach((t, i) => {
    if (t <= last) return;
    for (const k of Object.keys(c)) if (Array.isArray(c[k])) { c[k].push(more[k][i]); if (c[k].length > keep) c[k].shift(); }
  });
}

function onEvent(name, data) {
  if (name === "trend") { trend.fine = data.fine; trend.coarse = data.coarse; return; }
  if (name !== "view") return;
  view = data;
  skew = Date.parse(data.now) - Date.now();
  grow(trend.fine, data.sample, 300);
  feed("live");
  render();
}

function feed(how) {
  const lost = how !== "live";
  document.body.classList.toggle("lost", lost && Boolean(view));
  const text = how === "live" ? `live, ${clock(now())}` : view ? `${how}; as of ${clock(view.now)}` : how;
  patch($("feed"), h("span", { class: "feed" + (lost && view ? " lost" : ""), id: "feed" }, shape(lost ? "cross" : "full", lost ? "bad" : "good"), text));
}

// ---- The stream: server-sent events, read with fetch, which can send a token.

let token = sessionStorage.getItem("token") || "", stream = null;

async function follow() {
  const headers = { Accept: "text/event-stream" };
  if (token) headers.Authorization = "Bearer " + token;
  stream = new AbortController();
  // A view comes each second or so; one that does not come for long is a dead connection.
  let timer = setTimeout(() => stream.abort(), 20000);
  try {
    const r = await fetch("/v1/live", { headers, cache: "no-store", signal: stream.signal, credentials: "omit", redirect: "error" });
    if (r.status === 401) { ask(Boolean(token)); return "ask"; }
    if (!r.ok) return r.status === 503 ? "too many look at once" : `answered ${r.status}`;
    $("ask").hidden = true;
    const reader = r.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return "not connected";
      clearTimeout(timer);
      timer = setTimeout(() => stream.abort(), 20000);
      const parts = (rest + value).split("\n\n");
      rest = parts.pop();
      for (const p of parts) {
        let name = "message";
        const data = [];
        for (const line of p.split("\n")) {
          if (line.startsWith("event: ")) name = line.slice(7);
          else if (line.startsWith("data: ")) data.push(line.slice(6));
        }
        if (data.length) onEvent(name, JSON.parse(data.join("\n")));
      }
    }
  } catch {
    return "not connected";
  } finally {
    clearTimeout(timer);
  }
}

async function run() {
  for (let wait = 500; ; wait = Math.min(2 * wait, 5000)) {
    const before = view, how = await follow();
    if (how === "ask") return;
    if (view !== before) wait = 500;
    feed(how);
    await new Promise((done) => setTimeout(done, wait));
  }
}

function ask(wrong) {
  token = "";
  sessionStorage.removeItem("token");
  $("ask").hidden = false;
  $("main").setAttribute("aria-busy", "false");
  feed("a token is wanted");
  if (wrong) $("ask-why").textContent = "That was not the token. It is in the file that web.token_file names.";
  $("token").focus();
}

$("ask-form").addEventListener("submit", (e) => {
  e.preventDefault();
  token = $("token").value.trim();
  $("token").value = "";
  sessionStorage.setItem("token", token);
  run();
});

document.addEventListener("click", (e) => {
  const b = e.target.closest?.("[data-range]");
  if (b) { range = b.dataset.range; render(); }
});

// The day is told anew now and then, by coming back.
setInterval(() => { if (view && stream && range === "coarse") stream.abort(); }, 300000);

run();
})();
