// SPDX-License-Identifier: MPL-2.0
//
// The page of a Mles server: joins one channel over a WebSocket and shows it.
//
// Names. A Mles message carries no sender, so this page has a convention of its own; it is the page's,
// never the server's, and nothing checks it. The page sends a message as the text frame `name: message`,
// which people on a terminal can read and type. Of a text frame that was received, the part before the
// first ": " is shown as the sender if it is at most 64 characters long and some member of that name was
// announced in this channel; any other text is shown exactly as it came. An announcement is a text frame
// of exactly the form {"uid":"…","channel":"…"} for this channel. Members can forge both.
// A server keeps only the latest announcement of a name, which may thus come after messages of that name
// in the history: a new name is applied to what is already shown, too.
//
// History. After the join the server sends the channel's history, then what happens live, with no mark in
// between; the page has to guess where the one ends:
//  - The history is over when no frame has come for QUIET_MS, at the latest REPLAY_MAX_MS after the first
//    frame (on a channel that is never quiet), or when the page sends something after the first frame.
//  - The first frame may be late: a server may check for 5 s whether an older session of the same name is
//    alive, and wait 2 s for another server. If FIRST_FRAME_MS pass without one, there is no history.
//    What the page sends before that is shown below the history that may still come.
//  - A single announcement that comes later than LATE_MS is somebody joining an empty channel: live.
// When the page joins again under the same name and channel, the history replaces what was shown, and own
// messages of the lost connection that the history lacks are shown again and marked.
'use strict';

const QUIET_MS = 500;
const REPLAY_MAX_MS = 15_000;
const FIRST_FRAME_MS = 8_000;
const LATE_MS = 1_000;
const JOINED_MS = 500; // no answer to the header says yes: without a close for so long it counts as one
const NAME_MAX = 64;
const HEADER_MAX = 4096; // bytes
const MESSAGE_MAX = 1024 * 1024; // bytes sent, and characters shown of a message received
const LOG_MAX = 2000; // entries
const LOG_CHARS_MAX = 16 * 1024 * 1024;
const NAMES_MAX = 5000;

const CLOSED = {
  1000: 'The connection was ended.',
  1001: 'The server went away.',
  1002: 'The server and this browser did not understand each other.',
  1006: 'The connection was lost.',
  1009: 'A message was larger than the server takes.',
  1012: 'The server is restarting. Try again in a moment.',
  4000: 'The server did not accept this name or channel.',
  4001: 'The key is wrong, or the server asks for one.',
  4002: 'Somebody is already on this channel under this name. Choose another name.',
  4003: 'The server waited too long for this page to join. Try again.',
  4004: 'The server is full at the moment. Try again later.',
  4005: 'The server had no answer from this page for too long.',
  4008: 'This page could not keep up with the channel. Reconnecting brings what was missed.',
};

// --- Protocol: pure functions ---

const utf8 = (text) => new TextEncoder().encode(text);

/** SipHash-2-4 of bytes with an all-zero key, as a BigInt. */
function siphash24(bytes) {
  const rotate = (x, n) => BigInt.asUintN(64, (x << n) | (x >> (64n - n)));
  const add = (a, b) => BigInt.asUintN(64, a + b);
  let [a, b, c, d] = [0x736f6d6570736575n, 0x646f72616e646f6dn, 0x6c7967656e657261n, 0x7465646279746573n];
  const rounds = (n) => {
    for (; n > 0; n -= 1) {
      a = add(a, b); b = rotate(b, 13n) ^ a; a = rotate(a, 32n);
      c = add(c, d); d = rotate(d, 16n) ^ c;
      a = add(a, d); d = rotate(d, 21n) ^ a;
      c = add(c, b); b = rotate(b, 17n) ^ c; c = rotate(c, 32n);
    }
  };
  const padded = new Uint8Array(bytes.length + 8 - (bytes.length % 8));
  padded.set(bytes);
  padded[padded.length - 1] = bytes.length; // modulo 256
  const view = new DataView(padded.buffer);
  for (let at = 0; at < padded.length; at += 8) {
    const word = view.getBigUint64(at, true);
    d ^= word;
    rounds(2);
    a ^= word;
  }
  c ^= 0xffn;
  rounds(4);
  return a ^ b ^ c ^ d;
}

/** The `auth` member of a header: 16 hexadecimal digits. */
function authOf(uid, channel, key) {
  return siphash24(utf8(uid + channel + key)).toString(16).padStart(16, '0');
}

/** The first frame of a session. */
function headerOf(uid, channel, key) {
  return JSON.stringify(key === '' ? { uid, channel } : { uid, channel, auth: authOf(uid, channel, key) });
}

/** What is wrong with a name, channel and key, as a sentence; '' if nothing is. */
function faultOf(uid, channel, key) {
  if (uid === '' || channel === '') return 'Both a name and a channel are needed.';
  if (/[\0\p{Surrogate}]/u.test(uid + '\n' + channel + '\n' + key)) return 'There is a character that cannot be sent.';
  if (uid.includes(': ')) return 'A name cannot contain a colon followed by a space.';
  return utf8(headerOf(uid, channel, key)).length > HEADER_MAX ? 'The name or the channel is too long.' : '';
}

/** The name that a text frame announces as a member of the channel, or null. */
function parseAnnouncement(text, channel) {
  if (!text.startsWith('{"uid":"') || text.length > HEADER_MAX) return null;
  try {
    const { uid } = JSON.parse(text);
    return uid !== '' && typeof uid === 'string' && text === JSON.stringify({ uid, channel }) ? uid : null;
  } catch {
    return null;
  }
}

/** Splits `name: message` if the name is one of names (a Set); otherwise name is null. */
function splitName(text, names) {
  const at = text.indexOf(': ');
  const name = at > 0 && at <= NAME_MAX ? text.slice(0, at) : '';
  return names.has(name) ? { name, text: text.slice(at + 2) } : { name: null, text };
}

/** When the history is taken to be over: joined, first and last frame in ms, number of frames. */
function historyEnd({ joined, first, last, frames }) {
  return frames === 0 ? joined + FIRST_FRAME_MS : Math.min(last + QUIET_MS, first + REPLAY_MAX_MS);
}

/** Why a connection was closed, in plain words. */
function closeText(code, reason, opened) {
  const sentence = code === 1006 && !opened ? 'The server could not be reached, or refused the connection.'
    : CLOSED[code] ?? 'The server ended the connection.';
  return `Closed: ${sentence} (${reason === '' ? `code ${code}` : `code ${code}: ${reason}`})`;
}

/** The channel that a link names: `#channel=…`. */
function channelOfHash(hash) {
  return new URLSearchParams(hash.slice(1).replaceAll('+', '%2B')).get('channel') ?? '';
}

// --- The page ---

function start() {
  const $ = (id) => document.getElementById(id);
  const [log, say, reconnect, leave, jump] = ['log', 'say', 'reconnect', 'leave', 'jump'].map($);
  const fields = { name: $('name'), channel: $('channel'), key: $('key') };
  const sizes = new WeakMap(); // entry -> characters
  const verbatim = new WeakMap(); // entry -> its text frame, which has no known name in front yet
  let chars = 0; // in the log
  let stick = true; // the log follows its end
  let top = 0; // its scroll position
  let frame = 0; // in which it will be scrolled to its end
  let session = null; // the latest one, open or not

  // Joining and leaving

  function join() {
    const [uid, channel, key] = [fields.name.value.trim(), fields.channel.value.trim(), fields.key.value];
    const fault = faultOf(uid, channel, key);
    $('join-hint').textContent = fault;
    if (fault !== '') return showForm(channel === '' && uid !== '' ? fields.channel : fields.name);
    remember(uid, channel);
    const last = session;
    if (last !== null) drop(last);
    const again = last !== null && last.uid === uid && last.channel === channel;
    if (!again) [...log.children].forEach(remove);
    const ws = new WebSocket(`wss://${location.host}/`, 'mles-websocket');
    ws.binaryType = 'arraybuffer';
    const s = {
      ws, uid, channel, state: 'connecting', timers: [], history: null, own: null, late: null,
      names: new Set([uid]), mine: [], old: [...log.children],
      doubt: again ? [...last.doubt, ...last.mine] : [],
    };
    session = s;
    ws.onopen = () => opened(s, headerOf(uid, channel, key));
    ws.onmessage = (event) => received(s, event.data);
    ws.onclose = (event) => closed(s, event.code, event.reason);
    show(s, 'connecting', `Connecting to ${location.host} …`);
  }

  function opened(s, header) {
    s.ws.send(header);
    const now = performance.now();
    s.history = { joined: now, first: now, last: now, frames: 0, over: false };
    log.setAttribute('aria-busy', 'true');
    s.timers = [setTimeout(() => joined(s), JOINED_MS), setTimeout(() => endHistory(s), FIRST_FRAME_MS)];
    show(s, 'connecting', `Joining ${short(s.channel)} as ${short(s.uid)} …`);
  }

  function joined(s) {
    if (s.state !== 'connecting') return;
    show(s, 'joined', `Joined as ${short(s.uid)} on ${short(s.channel)}`);
    document.title = `${short(s.channel)} – Mles`;
    $('say-hint').textContent = '';
    if ($('chat').hidden) {
      $('join').hidden = true;
      $('chat').hidden = false;
      say.focus();
      scrollDown();
    }
  }

  function closed(s, code, reason) {
    const wasOpen = s.history !== null;
    drop(s);
    show(s, 'closed', closeText(code, reason, wasOpen));
    if ($('chat').hidden) showForm({ 4000: fields.name, 4001: fields.key, 4002: fields.name }[code] ?? $('enter'));
  }

  /** Lets go of a session's connection; nothing that still comes from it counts. */
  function drop(s) {
    s.timers.forEach(clearTimeout);
    s.ws.onopen = s.ws.onmessage = s.ws.onclose = null;
    if (s.ws.readyState < WebSocket.CLOSING) s.ws.close(1000);
    s.state = 'closed';
    log.removeAttribute('aria-busy');
  }

  function remember(uid, channel) {
    history.replaceState(null, '', `#channel=${encodeURIComponent(channel)}`);
    try {
      sessionStorage.setItem('mles.name', uid);
    } catch { /* storage is off: the name is asked for again */ }
  }

  // Receiving

  function received(s, data) {
    const h = s.history;
    const now = performance.now();
    if (!h.over && now >= historyEnd(h)) endHistory(s); // its timer is late
    joined(s);
    const announced = typeof data === 'string' ? parseAnnouncement(data, s.channel) : null;
    const entry = entryOf(s, data, announced, !h.over);
    if (h.over) return append(entry);
    h.frames += 1;
    h.last = now;
    if (h.frames === 1) h.first = now;
    s.late = h.frames === 1 && announced !== null && now - h.joined > LATE_MS ? entry : null;
    if (s.late === null) s.old.splice(0).forEach(remove);
    const lost = s.doubt.indexOf(data);
    if (lost >= 0) s.doubt.splice(0, lost + 1); // a connection loses the end of what was sent
    append(entry, s.own);
    clearTimeout(s.timers.pop());
    s.timers.push(setTimeout(() => endHistory(s), historyEnd(h) - now));
  }

  function endHistory(s) {
    const h = s.history;
    if (h.over) return;
    h.over = true;
    const none = h.frames === 0 || s.late !== null;
    if (s.late !== null) log.append(s.late); // what was sent so far came before it
    for (const frame of none ? [] : s.doubt.splice(0)) {
      const entry = messageEntry(s.uid, frame.slice(s.uid.length + 2), 'own');
      entry.append(element('small', '', 'Not in the channel’s history: perhaps it was lost with the connection.'));
      append(entry, s.own);
    }
    const above = !none ? 'earlier messages above' : s.old.length > 0 ? 'connected again' : 'no earlier messages';
    append(element('p', 'line', `— ${above}, live from here —`), s.own ?? s.late);
    log.removeAttribute('aria-busy');
  }

  function entryOf(s, data, announced, past) {
    if (typeof data !== 'string') return note(`binary message, ${data.byteLength.toLocaleString('en')} bytes`);
    if (announced !== null) {
      addName(s, announced);
      const entry = note(' joined');
      entry.prepend(element('bdi', 'name', short(announced)));
      return entry;
    }
    const { name, text } = splitName(data, s.names);
    const entry = messageEntry(name, text, past && name === s.uid ? 'own' : '', past ? null : new Date());
    if (name === null) verbatim.set(entry, data);
    return entry;
  }

  function addName(s, name) {
    if (s.names.has(name)) return;
    s.names.add(name);
    if (s.names.size > NAMES_MAX) s.names.delete([...s.names].find((other) => other !== s.uid));
    for (const entry of [...log.children]) {
      const known = splitName(verbatim.get(entry) ?? '', s.names);
      if (known.name === null) continue;
      verbatim.delete(entry);
      entry.querySelector('.text').replaceWith(...messageEntry(name, known.text, '').children);
    }
  }

  // Sending

  function send() {
    const s = session;
    const text = say.value.trimEnd();
    if (text.trim() === '') return;
    const frame = `${s.uid}: ${text}`;
    const size = utf8(frame).length;
    const hint = s.ws.readyState !== WebSocket.OPEN ? 'Not connected. Your text stays here until you have reconnected.'
      : size > MESSAGE_MAX ? `Too long: ${size.toLocaleString('en')} bytes, and 1 MiB is the most this page sends.` : '';
    $('say-hint').textContent = hint;
    if (hint !== '') return;
    s.ws.send(frame);
    s.mine = [...s.mine, frame].slice(-200);
    if (s.history.frames > 0) endHistory(s);
    const entry = messageEntry(s.uid, text, 'own', new Date());
    s.own ??= entry;
    append(entry);
    say.value = '';
    follow(true);
    scrollDown();
  }

  // The log

  function element(tag, className, text) {
    const made = document.createElement(tag);
    made.className = className;
    made.textContent = text;
    return made;
  }

  const short = (name) => ([...name].length > NAME_MAX ? `${[...name].slice(0, NAME_MAX).join('')}…` : name);
  const note = (text) => element('p', 'note', text);

  /** name is null for text without one, date for what is not live. */
  function messageEntry(name, text, className, date = null) {
    const entry = element('div', `message ${className}`, '');
    if (name !== null) entry.append(element('bdi', 'name', short(name)));
    const cut = text.length - MESSAGE_MAX;
    const body = element('div', 'text', cut > 0 ? `${text.slice(0, MESSAGE_MAX)}… (${cut} more characters)` : text);
    body.dir = 'auto';
    if (text.length > 5000) body.tabIndex = 0; // it scrolls
    entry.append(body);
    const clock = { hour: '2-digit', minute: '2-digit' };
    if (date !== null) entry.append(element('time', '', date.toLocaleTimeString([], clock)));
    return entry;
  }

  function append(entry, before = null) {
    sizes.set(entry, entry.textContent.length);
    chars += sizes.get(entry);
    log.insertBefore(entry, before?.parentNode === log ? before : null);
    while (log.childElementCount > LOG_MAX || chars > LOG_CHARS_MAX) remove(log.firstElementChild);
    jump.hidden = stick;
    if (!stick) return;
    cancelAnimationFrame(frame);
    frame = requestAnimationFrame(scrollDown);
  }

  function remove(entry) {
    if (entry.parentNode === log) chars -= sizes.get(entry);
    entry.remove();
  }

  function scrollDown() {
    log.scrollTop = log.scrollHeight;
    top = log.scrollTop;
  }

  function follow(yes) {
    stick = yes;
    log.classList.toggle('following', yes);
    if (yes) jump.hidden = true;
  }

  // States and events

  function show(s, state, text) {
    s.state = state;
    Object.assign($('status').dataset, { state });
    $('status').textContent = text;
    const refocus = document.activeElement === reconnect;
    reconnect.hidden = state !== 'closed' || $('chat').hidden;
    leave.hidden = $('chat').hidden && state !== 'joined';
    if (refocus && reconnect.hidden) say.focus();
  }

  function showForm(field) {
    $('chat').hidden = reconnect.hidden = leave.hidden = true;
    $('join').hidden = false;
    field.focus();
  }

  for (const [form, run] of [[$('join-form'), join], [$('say-form'), send]]) {
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      run();
    });
  }
  say.addEventListener('keydown', (event) => {
    if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    send();
  });
  reconnect.addEventListener('click', join);
  leave.addEventListener('click', () => {
    drop(session);
    show(session, 'idle', 'Not connected');
    document.title = 'Mles';
    showForm(fields.channel);
  });
  jump.addEventListener('click', () => {
    follow(true);
    scrollDown();
    say.focus();
  });
  log.addEventListener('scroll', () => {
    const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
    if (atEnd || log.scrollTop < top) follow(atEnd); // entries added meanwhile do not count as scrolling up
    top = log.scrollTop;
  });
  new ResizeObserver(() => stick && scrollDown()).observe(log);
  const takeHash = () => {
    if ($('chat').hidden) fields.channel.value = channelOfHash(location.hash) || fields.channel.value;
  };
  addEventListener('hashchange', takeHash);

  takeHash();
  try {
    fields.name.value ||= sessionStorage.getItem('mles.name') ?? '';
  } catch { /* storage is off */ }
  (Object.values(fields).find((field) => field.value === '') ?? fields.name).focus();
}

if (typeof module !== 'undefined') {
  module.exports = {
    siphash24, authOf, headerOf, faultOf, parseAnnouncement, splitName, historyEnd, closeText, channelOfHash,
  };
}
if (typeof document !== 'undefined') start();
