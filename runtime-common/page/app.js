// SPDX-License-Identifier: MPL-2.0
//
// The page of a Mles server: joins one channel over a WebSocket and shows it. README.md beside this file
// says what pages agree on among themselves, and how a replay and a lost connection are dealt with.
//
// First what needs no browser, to be tested by itself: the protocol, the convention, images, the replay,
// reconnecting, and `Talk`, which puts these together. Then the page: `start` draws what a `Talk` says.
'use strict';

const QUIET_MS = 2_000; // a replay is over when nothing has come for so long,
const REPLAY_MAX_MS = 60_000; // at the latest so long after the join,
const PROBE_MS = 8_000; // and it may begin so late while the server looks for the session that was lost
const JOINED_MS = 500; // no answer to the header says yes: without a close for so long it counts as one
const CONNECT_MS = 15_000;
const STABLE_MS = 10_000; // a connection that lasted so long did not fail
const RETRY_MAX_MS = 30_000;
const TAKEN_MAX = 2; // tries again while the server takes the lost session for alive
const FLIGHT_MS = 2_000; // a message may be under way so long when its connection ends in an orderly way,
const LATE_MS = 5_000; // and so long when it does not
const DOUBT_MS = 5 * 60_000; // a connection that is dead is noticed in that time
const NAME_MAX = 64;
const HEADER_MAX = 4096; // bytes
const TEXT_MAX = 1024 * 1024; // bytes sent, and characters shown
const FRAME_MAX = 16 * 1024 * 1024; // bytes: what a server takes unless it is configured otherwise
const RESEND_MAX = 1024 * 1024; // bytes: what is larger, a history may not have kept
const KNOWN_MAX = 100_000; // frames remembered
const NAMES_MAX = 5000;
const FILE_MAX = 64 * 1024 * 1024; // bytes of an image to be scaled down
const PIXELS_MAX = 50_000_000; // of an image that is decoded
const EDGE_MAX = 2048; // pixels of an image that is sent
const AS_IT_IS_MAX = 1024 * 1024; // bytes of an image that is sent unchanged
const PREVIEW = 384; // pixels of an image in the log
const LONG = 5000; // characters of a text that scrolls by itself
const LINKS_MAX = 100; // in one text
const LOG_MAX = 2000; // entries shown
const LOG_BYTES_MAX = 64 * 1024 * 1024;

// --- The protocol ---

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
  if (uid === '') return 'Choose a name: it tells others who is talking.';
  if (channel === '') return 'Name a channel: it begins with whoever joins it first.';
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

/** Close codes: whether to connect again by itself, and the sentence. Others are as after `closeOf`. */
const CLOSES = {
  1000: [false, 'The server ended the connection.'],
  1001: [true, 'The server went away.'],
  1002: [false, 'The server and this browser did not understand each other.'],
  1003: [false, 'The server did not take what this page sent.'],
  1006: [true, 'The connection was lost.'],
  1007: [false, 'The server did not take what this page sent.'],
  1009: [true, 'A message was larger than this server takes.'],
  1012: [true, 'The server is restarting.'],
  4000: [false, 'The server does not accept this name or channel. Correct it and join again.'],
  4001: [false, 'The key is wrong or missing. Ask for the key of this server and join with it.'],
  4002: [false, 'Somebody is on this channel under this name. Choose another name, or close the other window.'],
  4003: [true, 'The server waited too long for this page.'],
  4004: [true, 'The server is full at the moment.'],
  4005: [true, 'The server heard nothing from this page for too long.'],
  4008: [true, 'This page could not keep up with the channel.'],
  4011: [false, 'The server took this page for another server.'],
};
/** The server says with these that what the session sent has reached nobody. */
const REFUSALS = new Set([4000, 4001, 4002, 4003, 4011]);

/** What a close means: { again, sentence }. */
function closeOf(code, opened) {
  if (code === 1006 && !opened) return { again: true, sentence: 'The server cannot be reached.' };
  const [again, sentence] = CLOSES[code] ?? [code < 4000, 'The server ended the connection.'];
  return { again, sentence };
}

/** How long to wait before a try, in ms: growing, and spread, so that not everybody comes at once. */
function retryDelay(tries, random) {
  return Math.min(RETRY_MAX_MS, 1000 * 2 ** tries) * (0.5 + random / 2);
}

// --- The convention of this page: README.md says why ---

/** Splits `name: message` if the name is one of names (a Set); otherwise name is null. */
function splitName(text, names) {
  const at = text.indexOf(': ');
  const name = at > 0 && at <= NAME_MAX ? text.slice(0, at) : '';
  return names.has(name) ? { name, text: text.slice(at + 2) } : { name: null, text };
}

const TAIL = utf8('\0mles');

/** The binary frame of an image: the image, a zero byte, the name, and `\0mles`. */
function imageFrame(image, name) {
  const tail = [0, ...utf8(name), ...TAIL];
  const frame = new Uint8Array(image.length + tail.length);
  frame.set(image);
  frame.set(tail, image.length);
  return frame;
}

/** The image in a binary frame, { name, image, type, width, height }; null if it is none. */
function parseImage(frame) {
  const info = imageInfo(frame);
  if (info === null) return null;
  const end = frame.length - TAIL.length;
  if (!TAIL.every((byte, at) => frame[end + at] === byte)) return { name: null, image: frame, ...info };
  const from = frame.lastIndexOf(0, end - 1);
  let name = '';
  try {
    name = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(frame.subarray(from + 1, end));
  } catch { /* then it is none */ }
  if (from < 0 || name === '' || name.length > NAME_MAX) return { name: null, image: frame, ...info };
  return { name, image: frame.subarray(0, from), ...info };
}

/** The type and the size of an image by its first bytes; null for what is not shown. */
function imageInfo(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const ascii = (at, text) => [...text].every((letter, i) => bytes[at + i] === letter.charCodeAt(0));
  const found = (type, width, height) => (width > 0 && height > 0 ? { type, width, height } : null);
  try {
    if (ascii(0, '\x89PNG\r\n\x1a\n') && ascii(12, 'IHDR')) return found('image/png', view.getUint32(16), view.getUint32(20));
    if (ascii(0, 'GIF87a') || ascii(0, 'GIF89a')) return found('image/gif', view.getUint16(6, true), view.getUint16(8, true));
    if (ascii(0, 'RIFF') && ascii(8, 'WEBPVP8')) {
      const type = 'image/webp';
      if (ascii(15, 'X')) return found(type, 1 + (view.getUint32(23, true) >>> 8), 1 + (view.getUint32(26, true) >>> 8));
      if (ascii(15, ' ')) return found(type, view.getUint16(26, true) & 0x3fff, view.getUint16(28, true) & 0x3fff);
      const packed = view.getUint32(21, true);
      return ascii(15, 'L') ? found(type, 1 + (packed & 0x3fff), 1 + ((packed >>> 14) & 0x3fff)) : null;
    }
    if (ascii(0, '\xff\xd8\xff')) return jpegInfo(view, found);
  } catch { /* it ends too early */ }
  return null;
}

/** The size stands in the first segment of a JPEG that starts a frame. */
function jpegInfo(view, found) {
  for (let at = 2; view.getUint8(at) === 0xff;) {
    const marker = view.getUint8(at + 1);
    if (marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker)) {
      return found('image/jpeg', view.getUint16(at + 7), view.getUint16(at + 5));
    }
    at += marker === 0xff ? 1 : 2 + view.getUint16(at + 2); // 0xff before a marker is filling
  }
  return null;
}

/** The width and height of an image scaled down to fit. */
function scaled(width, height, edge = EDGE_MAX) {
  const factor = Math.min(1, edge / Math.max(width, height));
  return [Math.max(1, Math.round(width * factor)), Math.max(1, Math.round(height * factor))];
}

const bytesText = (bytes) => (bytes >= 2 ** 20 ? `${(bytes / 2 ** 20).toFixed(1)} MiB`
  : bytes >= 1024 ? `${Math.round(bytes / 1024)} KiB` : `${bytes} bytes`);

// --- Text and links ---

/** The parts of a text: strings, and { href } where it has a web address. */
function splitLinks(text) {
  const parts = [];
  let from = 0;
  for (const match of text.matchAll(/\bhttps?:\/\/[^\s<>"\u0000-\u0020\u200e\u200f\u202a-\u202e\u2066-\u2069]+/g)) {
    let href = match[0].replace(/[.,;:!?'*_]+$/, '');
    if (href.endsWith(')') && !href.includes('(')) href = href.slice(0, -1);
    parts.push(text.slice(from, match.index), { href });
    from = match.index + href.length;
    if (parts.length >= 2 * LINKS_MAX) break;
  }
  return [...parts, text.slice(from)].filter((part) => part !== '');
}

/** A name as it is shown: of bounded length, and without what would turn the text around it. */
function shortName(name) {
  const letters = [...name.replace(/[\p{Cc}\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu, '\ufffd')];
  return letters.length > NAME_MAX ? `${letters.slice(0, NAME_MAX).join('')}…` : letters.join('');
}

/** The channel and the name of a link: `#channel=…&name=…`. */
function parseHash(hash) {
  const found = new URLSearchParams(hash.slice(1).replaceAll('+', '%2B'));
  return { channel: found.get('channel') ?? '', name: found.get('name') ?? '' };
}

const hashOf = (channel) => `#channel=${encodeURIComponent(channel)}`;

// --- The replay ---

/** 53 bits by which a frame is known again: not against those who want two frames to be alike. */
function keyOf(frame) {
  const isText = typeof frame === 'string';
  let [a, b] = [isText ? 0x811c9dc5 : 0x050c5d1f, 0x9e3779b9 ^ frame.length];
  for (let at = 0; at < frame.length; at += 1) {
    const unit = isText ? frame.charCodeAt(at) : frame[at];
    a = Math.imul(a ^ unit, 0x01000193);
    b = Math.imul((b << 7) | (b >>> 25), 0x85ebca6b) ^ unit;
  }
  return (b & 0x1fffff) * 2 ** 32 + (a >>> 0);
}

/**
 * What was known before a connection, to recognise it in the replay. Items are { n, key, message }, n
 * growing, message null for what others sent. The order in which own messages and those of others reached
 * the server is not known here, but that of either among themselves is: they are two lanes, each replayed
 * in its order.
 */
class Known {
  constructor(items) {
    const lane = (own) => ({ items: items.filter(({ message }) => (message !== null) === own), next: 0 });
    this.lanes = [lane(false), lane(true)];
    this.first = Infinity; // the least n that came back
  }

  /** The item that this frame of the replay is, or null. */
  take(key) {
    for (const lane of this.lanes) {
      let at = lane.next;
      while (at < lane.items.length && lane.items[at].key !== key) at += 1;
      if (at === lane.items.length) continue;
      lane.next = at + 1;
      this.first = Math.min(this.first, lane.items[at].n);
      return lane.items[at];
    }
    return null;
  }
}

/** When a replay is taken to be over. lost: the connection before ended without a close frame. */
function replayEnd({ opened, last, frames, lost }) {
  if (frames === 0) return opened + (lost ? PROBE_MS : QUIET_MS);
  return Math.min(last + QUIET_MS, opened + REPLAY_MAX_MS);
}

/** Whether a message may have been under way when its connection ended: times in ms. */
function inDoubt({ sent, heard, closed, clean }) {
  return clean ? sent > closed - FLIGHT_MS : sent > heard - LATE_MS && sent > closed - DOUBT_MS;
}

// --- One conversation ---

/**
 * A name on a channel, over as many connections as it takes. `io` is what it needs of the world: connect(),
 * now(), after(ms, run) which gives a function to cancel it, random(); and what it tells: state(name, detail),
 * show(entry), changed(message, place) about an own message, which moved if place is 'first' or 'last', replayed(frames), and late(): what was shown as
 * live was the replay. The states of an own message:
 *   pending    no connection has taken it yet
 *   sent       handed to a connection; nothing acknowledges a message
 *   checking   its connection was lost, the replay will tell
 *   doubt      the replay could not tell
 *   large      more than the server takes
 */
class Talk {
  constructor(who, io) {
    Object.assign(this, { ...who, io });
    this.names = new Set([this.uid]); // announced here
    this.known = []; // items for `Known`
    this.count = 0; // of items
    this.pending = []; // own messages that no connection has taken
    this.doubtful = []; // own messages that may have been lost; the replay will tell
    this.most = FRAME_MAX; // bytes that the server is believed to take
    this.member = false; // has been, for sure
    this.again = false; // this is not the first connection
    this.lost = false; // the last connection ended without a close frame
    this.tries = 0;
    this.taken = 0;
    this.link = null;
    this.cancelRetry = () => {};
  }

  // Connecting

  connect() {
    this.drop();
    this.again = this.member;
    const link = {
      socket: this.io.connect(), opened: null, heard: null, last: null, frames: 0, over: false, joined: false,
      lost: this.lost, sent: [], known: new Known(this.known), timers: {},
    };
    this.link = link;
    link.timers.connect = this.io.after(CONNECT_MS, () => this.closed(link, 1006, '', false));
    const of = (run) => (event) => { if (this.link === link) run(event); };
    link.socket.onopen = of(() => this.opened(link));
    link.socket.onmessage = of(({ data }) => this.received(link, typeof data === 'string' ? data : new Uint8Array(data)));
    link.socket.onclose = of(({ code, reason, wasClean }) => this.closed(link, code, reason, wasClean));
    this.io.state('connecting', {});
  }

  opened(link) {
    link.timers.connect();
    link.opened = link.heard = link.last = this.io.now();
    link.socket.send(headerOf(this.uid, this.channel, this.key));
    link.timers.joined = this.io.after(JOINED_MS, () => this.joined(link));
    this.awaitEnd(link);
  }

  joined(link) {
    if (link.joined) return;
    link.joined = true;
    this.io.state('joined', {});
    this.flush();
  }

  closed(link, code, reason, clean) {
    const now = this.io.now();
    const refused = REFUSALS.has(code);
    this.drop();
    this.settleLost(link, { code, refused, clean, now });
    this.member ||= link.joined && !refused;
    this.lost = !clean;
    if (link.opened !== null && !refused && now - link.opened > STABLE_MS) this.tries = this.taken = 0;
    let { again, sentence } = closeOf(code, link.opened !== null);
    const detail = { code, reason, sentence };
    if (code === 4002 && this.member && this.taken < TAKEN_MAX) { // the server may not have missed this page yet
      this.taken += 1;
      again = true;
      detail.sentence = 'The server still has the connection that was lost.';
    }
    if (!again || !this.member) {
      this.doubtful.splice(0).forEach((message) => this.set(message, 'doubt'));
      return this.io.state(refused ? 'refused' : 'closed', detail);
    }
    const delay = retryDelay(this.tries, this.io.random());
    this.tries += 1;
    this.cancelRetry = this.io.after(delay, () => this.connect());
    this.io.state('waiting', { ...detail, until: now + delay });
  }

  /** Lets go of the connection; nothing that still comes from it counts. */
  drop() {
    const { link } = this;
    this.cancelRetry();
    this.link = null;
    if (link === null) return;
    Object.values(link.timers).forEach((cancel) => cancel());
    link.socket.close(1000);
  }

  // Receiving

  received(link, frame) {
    const now = this.io.now();
    link.heard = now;
    if (!link.over && now >= replayEnd(link)) this.endReplay(link); // its timer is late
    this.member = true;
    const past = !link.over;
    link.frames += 1;
    if (past) {
      link.last = now;
      this.awaitEnd(link);
    }
    this.joined(link);
    const name = typeof frame === 'string' ? parseAnnouncement(frame, this.channel) : null;
    if (name !== null) return this.announced(link, name, past);
    const key = keyOf(frame);
    const item = past ? link.known.take(key) : null;
    if (item === null) {
      this.remember(key, null);
      this.io.show({ frame, past, missed: past && this.again });
    } else if (item.message !== null) {
      item.message.returned = true;
    }
  }

  announced(link, name, past) {
    const isNew = !this.names.has(name);
    if (name === this.uid && !past && !this.again && this.io.now() - link.opened < PROBE_MS) {
      // Nobody is told live of joining: this is the replay, which began late.
      link.over = false;
      link.last = this.io.now();
      this.awaitEnd(link);
      this.io.late();
      past = true;
    }
    this.names.add(name);
    if (this.names.size > NAMES_MAX) this.names.delete([...this.names].find((other) => other !== this.uid));
    // When a name joined that was there before cannot be told from a replay.
    if (isNew || !past || !this.again) this.io.show({ joined: name, past, missed: past && this.again });
  }

  awaitEnd(link) {
    link.timers.end?.();
    link.timers.end = this.io.after(Math.max(0, replayEnd(link) - this.io.now()), () => this.endReplay(link));
  }

  endReplay(link) {
    if (link.over) return;
    link.over = true;
    link.timers.end();
    const [lost, unknown] = [[], []];
    for (const message of this.doubtful.splice(0)) {
      if (message.returned) this.set(message, 'sent');
      else if (message.n > link.known.first && message.size <= RESEND_MAX) lost.push(message);
      else unknown.push(message);
    }
    unknown.forEach((message) => this.set(message, 'doubt'));
    this.requeue(lost);
    this.io.replayed(link.frames);
    this.flush();
  }

  remember(key, message) {
    this.count += 1;
    this.known.push({ n: this.count, key, message });
    if (this.known.length > KNOWN_MAX) this.known.splice(0, KNOWN_MAX / 10);
    return this.count;
  }

  // Sending

  /** Sends a frame, now or when there is a connection; gives the message. */
  say(frame) {
    const size = typeof frame === 'string' ? utf8(frame).length : frame.length;
    const message = { frame, size, state: 'pending', n: 0, sent: 0, returned: false };
    this.pending.push(message);
    this.io.show({ frame, own: message, past: false });
    // Who talks is no longer reading the history. (After a lost connection the replay has to be seen first.)
    if (this.link?.joined && !this.again) this.endReplay(this.link);
    this.flush();
    return message;
  }

  /** Sends a message again that may have been lost. */
  repeat(message) {
    this.requeue([message], 'last');
    this.flush();
  }

  flush() {
    const { link } = this;
    if (link === null || !link.joined || this.doubtful.length > 0) return;
    const now = this.io.now();
    const old = link.sent.findIndex(({ sent }) => sent > now - DOUBT_MS);
    for (const message of link.sent.splice(0, Math.max(0, old))) message.frame = null; // not needed any more
    for (const message of this.pending.splice(0)) {
      link.socket.send(message.frame);
      message.sent = now;
      message.n = this.remember(keyOf(message.frame), message);
      link.sent.push(message);
      this.set(message, 'sent');
    }
  }

  /** What becomes of the messages of a connection that has ended. */
  settleLost(link, { code, refused, clean, now }) {
    if (refused) return this.requeue(link.sent);
    let left = link.socket.bufferedAmount ?? 0; // bytes that have not left the browser, of the messages sent last
    const stuck = new Set(link.sent.toReversed().filter(({ size }) => left > 0 && ((left -= size), true)));
    const doubtful = link.sent.filter((message) => stuck.has(message)
      || inDoubt({ sent: message.sent, heard: link.heard, closed: now, clean: clean && code !== 1009 }));
    if (code === 1009 && doubtful.length > 0) {
      const largest = doubtful.reduce((a, b) => (b.size > a.size ? b : a));
      doubtful.splice(doubtful.indexOf(largest), 1);
      this.most = Math.min(this.most, largest.size - 1);
      this.set(largest, 'large');
    }
    this.doubtful.push(...doubtful);
    for (const message of doubtful) {
      message.returned = false;
      this.set(message, 'checking');
    }
  }

  /** Puts messages that were sent among the pending ones, as the first or the last. */
  requeue(messages, place = 'first') {
    for (const message of messages) {
      const item = this.known.find(({ n }) => n === message.n);
      if (item !== undefined) item.key = NaN; // nothing is like it: what will be in a replay is the next try
      message.returned = false;
      this.set(message, 'pending', place);
    }
    this.pending = place === 'first' ? [...messages, ...this.pending] : [...this.pending, ...messages];
  }

  set(message, state, moved = null) {
    message.state = state;
    this.io.changed(message, moved);
  }
}

// --- The page ---

function start() {
  const $ = (id) => document.getElementById(id);
  const [log, say, jump, attached] = ['log', 'say', 'jump', 'attached'].map($);
  const fields = { name: $('name'), channel: $('channel'), key: $('key') };
  const entries = new WeakMap(); // element -> { bytes, url, text of a frame whose sender is not known, own message }
  const shown = new Map(); // own message -> its element
  let talk = null;
  let image = null; // to be sent: { bytes, url }
  let bytes = 0; // in the log
  let stick = true; // the log follows its end
  let top = 0; // its scroll position
  let scrolling = 0; // the animation frame in which it will be at its end
  let fresh = 0; // messages below what is seen
  let unread = 0; // messages since the page was looked at
  let above = null; // the entry above which a replay is shown: the first one of the connection that is not of it
  let ticking = 0; // the timer of the countdown
  let wrong = null; // the field of the form that the server refused

  // Joining and leaving

  function join() {
    const [uid, channel, key] = [fields.name.value.trim(), fields.channel.value.trim(), fields.key.value];
    const fault = faultOf(uid, channel, key);
    if (fault !== '') return showForm(fault, channel === '' && uid !== '' ? fields.channel : fields.name);
    history.replaceState(null, '', hashOf(channel));
    try {
      sessionStorage.setItem('mles.name', uid);
    } catch { /* storage is off: the name is asked for again */ }
    if (talk?.uid === uid && talk.channel === channel) { // goes on
      talk.key = key;
      return talk.connect();
    }
    talk?.drop();
    if (talk?.channel === channel) takeBack();
    clear();
    talk = new Talk({ uid, channel, key }, {
      connect: () => {
        const socket = new WebSocket(`wss://${location.host}/`, 'mles-websocket');
        socket.binaryType = 'arraybuffer';
        return socket;
      },
      now: () => performance.now(),
      after: (ms, run) => {
        const timer = setTimeout(run, ms);
        return () => clearTimeout(timer);
      },
      random: Math.random,
      state: showState, show: showEntry, changed: showChange, replayed: showReplayed, late: showLate,
    });
    talk.connect();
  }

  /** What could not be sent under one name is there to be sent under the next one. */
  function takeBack() {
    const frames = talk.pending.map(({ frame }) => frame);
    const texts = frames.filter((frame) => typeof frame === 'string').map((frame) => frame.slice(talk.uid.length + 2));
    const images = frames.filter((frame) => typeof frame !== 'string');
    if (texts.length > 0) say.value = [...texts, say.value].filter((text) => text !== '').join('\n');
    if (images.length > 0) attach(parseImage(images.at(-1)).image);
  }

  function leave(fault, field) {
    talk.drop();
    showState('idle', {});
    showForm(fault, field);
  }

  function showForm(fault, field) {
    document.body.dataset.view = 'join';
    document.title = 'Mles';
    $('title').textContent = 'Mles';
    $('join-hint').textContent = fault;
    field.focus();
  }

  function showChat() {
    if (document.body.dataset.view === 'chat') return;
    document.body.dataset.view = 'chat';
    $('title').replaceChildren(element('bdi', '', shortName(talk.channel)));
    showTitle();
    say.focus();
    scrollDown();
  }

  function clear() {
    [...log.children].forEach(remove);
    shown.clear();
    above = null;
    $('empty').hidden = true;
  }

  // The state of the connection

  function showState(state, { code, reason, sentence, until }) {
    document.body.dataset.state = state;
    clearInterval(ticking);
    const ended = state === 'refused' || state === 'closed';
    const why = code === undefined ? '' : !ended ? sentence : `${sentence} (${reason === '' ? `code ${code}` : `code ${code}: ${reason}`})`;
    const name = talk && element('bdi', 'name', shortName(talk.uid));
    const texts = {
      idle: ['Not connected'],
      connecting: ['Connecting to ', element('bdi', '', location.host), ' …'],
      joined: ['Connected as ', name],
      waiting: ['Disconnected'], closed: ['Closed'], refused: ['Refused'],
    };
    $('status').replaceChildren(...texts[state]);
    $('why').textContent = state === 'connecting' ? $('why').textContent : why;
    $('banner').hidden = state === 'idle' || state === 'joined' || (state === 'connecting' && !talk.member);
    $('retry').textContent = ended ? 'Try again' : 'Try now';
    $('retry').classList.toggle('quiet', state === 'refused');
    $('change').classList.toggle('quiet', state !== 'refused');
    $('kept').hidden = ended;
    $('countdown').textContent = state === 'connecting' ? 'Trying again now.' : '';
    if (state === 'waiting') {
      const tick = () => {
        const seconds = Math.max(0, Math.ceil((until - performance.now()) / 1000));
        $('countdown').textContent = `Trying again in ${seconds} s.`;
      };
      tick();
      ticking = setInterval(tick, 250);
    }
    if (state === 'connecting') above = shown.get(talk.pending[0]) ?? null;
    log.toggleAttribute('aria-busy', false);
    if (state === 'joined') {
      if (!talk.link.over) log.setAttribute('aria-busy', 'true');
      showChat();
    } else if (ended) {
      wrong = { 4000: fields.name, 4001: fields.key, 4002: fields.name }[code] ?? $('enter');
      if (!talk.member) showForm(why, wrong);
    }
    if (document.activeElement === document.body && document.body.dataset.view === 'chat') say.focus();
  }

  function showReplayed(frames) {
    log.toggleAttribute('aria-busy', false);
    const missed = log.querySelector('.line.missed:not(.done)');
    missed?.classList.add('done');
    if (missed !== null) append(line('Live again'), above);
    else if (!talk.again && frames > 0) append(line('Earlier messages above'), above);
    showEmpty();
  }

  function showLate() {
    log.setAttribute('aria-busy', 'true');
    log.querySelector('.line')?.remove();
    for (const entry of log.querySelectorAll('.message:not(.own), .note')) {
      entry.classList.add('past');
      entry.querySelector('time')?.remove();
    }
    above = log.querySelector('.message:not(.past)');
  }

  function showEmpty() {
    $('empty').hidden = log.querySelector('.message') !== null;
  }

  // Entries

  function showEntry({ frame, joined, own, past, missed }) {
    const entry = joined === undefined ? messageEntry(frame, own, past) : null;
    if (missed && log.querySelector('.line.missed:not(.done)') === null) {
      append(line('Sent while you were disconnected', 'missed'), above);
    }
    if (joined !== undefined) {
      nameKnown(joined);
      showJoined(joined, past);
    } else {
      if (own) shown.set(own, entry);
      append(entry, past ? above : null);
    }
    if (!past) above ??= entry ?? log.lastElementChild;
    if (own) {
      follow(true);
      scrollDown();
    } else if (joined === undefined && (!past || missed)) {
      fresh = stick ? 0 : fresh + 1;
      if (document.hidden || !document.hasFocus()) unread += 1;
      showTitle();
    }
    jump.hidden = stick;
    $('jump-count').textContent = fresh === 0 ? 'Latest' : fresh === 1 ? '1 new message' : `${fresh} new messages`;
    if (joined === undefined) $('empty').hidden = true;
  }

  function messageEntry(frame, own, past) {
    const { names, uid } = talk;
    const picture = typeof frame === 'string' ? null : parseImage(frame);
    const { name, text } = typeof frame === 'string' ? splitName(frame, names) : { name: picture?.name ?? null, text: null };
    const entry = element('article', `message${own || (past && name === uid) ? ' own' : ''}${past ? ' past' : ''}`);
    const about = { bytes: frame.length, url: null, text: name === null ? text : null, own };
    entries.set(entry, about);
    const bubble = element('div', 'bubble');
    if (text !== null) bubble.append(textElement(text));
    else if (picture !== null && picture.width * picture.height <= PIXELS_MAX) bubble.append(pictureElement(picture, name, about));
    else bubble.append(element('p', 'odd', picture === null ? `Binary message, ${bytesText(frame.length)}: encrypted, or not meant for this page`
      : `Image of ${picture.width} × ${picture.height} pixels: too large to be shown`));
    const foot = element('footer', '');
    if (!past) foot.append(timeElement(new Date()));
    entry.append(element('span', 'avatar'), element('span', 'name'), bubble, foot);
    entry.firstChild.setAttribute('aria-hidden', 'true');
    setName(entry, name);
    if (own) {
      entry.append(element('p', 'sending'));
      showSending(entry, own);
    }
    return entry;
  }

  function setName(entry, name) {
    const [avatar, label] = entry.children;
    entry.dataset.name = name === null ? '' : `.${name}`;
    entry.dataset.hue = name === null ? 'none' : keyOf(name) % 8;
    avatar.textContent = name === null ? '?' : [...shortName(name)][0].toUpperCase();
    label.replaceChildren(name === null ? 'Unknown sender' : element('bdi', '', shortName(name)));
  }

  function textElement(text) {
    const cut = text.length - TEXT_MAX;
    const made = element('p', text === '' ? 'text odd' : text.length > LONG ? 'text long' : 'text');
    made.dir = 'auto';
    for (const part of splitLinks(cut > 0 ? text.slice(0, TEXT_MAX) : text)) {
      const link = part.href && element('a', '', part.href);
      if (link) Object.assign(link, { href: part.href, target: '_blank', rel: 'noopener noreferrer nofollow' });
      made.append(link ?? part);
    }
    if (cut > 0) made.append(`… (${cut} more characters)`);
    if (text === '') made.append('Empty message');
    if (text.length > LONG) made.tabIndex = 0; // it scrolls
    return made;
  }

  function pictureElement({ image: data, type, width, height }, name, about) {
    about.url = URL.createObjectURL(new Blob([data], { type }));
    const open = element('button', 'picture');
    const img = element('img', '');
    open.type = 'button';
    [img.width, img.height] = scaled(width, height, PREVIEW);
    Object.assign(img, { src: about.url, alt: name === null ? 'Image' : `Image from ${shortName(name)}`, decoding: 'async' });
    img.addEventListener('error', () => open.replaceWith(element('p', 'odd', 'An image that this browser cannot show')));
    open.addEventListener('click', () => {
      Object.assign($('large-image'), { src: about.url, alt: img.alt });
      $('large').showModal();
    });
    open.append(img);
    return open;
  }

  function timeElement(date) {
    const made = element('time', '', date.toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' }));
    Object.assign(made, { dateTime: date.toISOString(), title: date.toLocaleString() });
    return made;
  }

  /** Several who join one after the other are told in one line. */
  function showJoined(name, past) {
    const end = past && above?.parentNode === log ? above.previousElementSibling : log.lastElementChild;
    const fits = end?.matches('.note') && end.classList.contains('past') === past && end.firstChild.childElementCount < 50;
    let entry = fits ? end : null;
    if (entry === null) {
      entry = element('p', past ? 'note past' : 'note');
      entry.append(element('span', ''), ' joined');
      entries.set(entry, { bytes: 0, url: null, text: null, own: null });
      append(entry, past ? above : null);
    }
    const list = entry.firstChild;
    if ([...list.children].some((other) => other.textContent === shortName(name))) return;
    list.append(...(list.childElementCount > 0 ? [', '] : []), element('bdi', '', shortName(name)));
  }

  /** What was shown before its sender was announced: the history has only the latest announcement of a name. */
  function nameKnown(name) {
    for (const entry of log.querySelectorAll('.message[data-name=""]')) {
      const known = splitName(entries.get(entry).text ?? '', talk.names);
      if (known.name !== name) continue;
      entries.get(entry).text = null;
      if (name === talk.uid && entry.matches('.past')) entry.classList.add('own');
      setName(entry, name);
      entry.querySelector('.text').replaceWith(textElement(known.text));
      regroup(entry);
    }
  }

  function showChange(message, moved) {
    const entry = shown.get(message);
    if (entry === undefined || entry.parentNode !== log) return;
    if (moved) {
      const next = entry.nextElementSibling;
      log.insertBefore(entry, moved === 'first' ? shown.get(talk.pending[0]) ?? null : null);
      regroup(next);
      regroup(entry);
    }
    showSending(entry, message);
  }

  function showSending(entry, message) {
    const texts = {
      pending: 'Waiting to be sent', sent: '', checking: 'Checking whether it arrived',
      doubt: 'May not have arrived', large: `Larger than this server takes (${bytesText(message.size)})`,
    };
    const made = entry.querySelector('.sending');
    entry.dataset.sending = message.state;
    made.textContent = texts[message.state];
    if (message.state !== 'doubt') return;
    const again = element('button', 'link', 'Send again');
    again.type = 'button';
    again.addEventListener('click', () => {
      talk.repeat(message);
      say.focus();
    });
    made.append(' ', again);
  }

  // The log

  function element(tag, className, text = '') {
    const made = document.createElement(tag);
    if (className !== '') made.className = className;
    made.textContent = text;
    return made;
  }

  function line(text, className = '') {
    const made = element('p', `line ${className}`, text);
    entries.set(made, { bytes: 0, url: null, text: null, own: null });
    return made;
  }

  function append(entry, before = null) {
    bytes += entries.get(entry).bytes;
    log.insertBefore(entry, before?.parentNode === log ? before : null);
    regroup(entry);
    while (log.childElementCount > LOG_MAX || bytes > LOG_BYTES_MAX) remove(log.firstElementChild);
    if (!stick) return;
    cancelAnimationFrame(scrolling);
    scrolling = requestAnimationFrame(scrollDown);
  }

  function remove(entry) {
    bytes -= entries.get(entry).bytes;
    if (entries.get(entry).url !== null) URL.revokeObjectURL(entries.get(entry).url);
    shown.delete(entries.get(entry).own);
    entry.remove();
  }

  /** An entry that goes on with what the same person said does not name them again. */
  function regroup(entry) {
    for (const it of [entry, entry?.nextElementSibling]) {
      const before = it?.previousElementSibling;
      if (!it) continue;
      const more = it.matches('.message') && Boolean(before?.matches('.message')) && it.dataset.name !== ''
        && before.dataset.name === it.dataset.name
        && before.matches('.own') === it.matches('.own') && before.matches('.past') === it.matches('.past');
      it.classList.toggle('more', more);
      const time = (of) => of.querySelector('time')?.textContent;
      before?.classList.toggle('continued', more && time(before) === time(it)); // one time for both
    }
  }

  function scrollDown() {
    log.scrollTop = log.scrollHeight;
    top = log.scrollTop;
  }

  function follow(yes) {
    stick = yes;
    log.classList.toggle('following', yes);
    if (!yes) return;
    fresh = 0;
    jump.hidden = true;
  }

  function showTitle() {
    if (talk === null || document.body.dataset.view !== 'chat') return;
    document.title = `${unread > 0 ? `(${unread}) ` : ''}${shortName(talk.channel)} – Mles`;
  }

  function seen() {
    if (document.hidden) return;
    unread = 0;
    showTitle();
  }

  // Sending

  function send() {
    const text = say.value.trimEnd();
    if (text.trim() === '' && image === null) return;
    const frame = `${talk.uid}: ${text}`;
    if (utf8(frame).length > Math.min(TEXT_MAX, talk.most)) {
      return hint(`This text is too long: ${bytesText(Math.min(TEXT_MAX, talk.most))} is the most that can be sent.`);
    }
    if (image !== null) talk.say(imageFrame(image.bytes, talk.uid));
    if (text.trim() !== '') talk.say(frame);
    attach(null);
    hint('');
    say.value = '';
    grow();
    say.focus();
  }

  const hint = (text) => { $('say-hint').textContent = text; };

  /** Shows an image that is about to be sent; null takes it away. */
  function attach(data) {
    if (image !== null) URL.revokeObjectURL(image.url);
    image = data && { bytes: data, url: URL.createObjectURL(new Blob([data], imageInfo(data))) };
    attached.hidden = image === null;
    if (image !== null) $('attached-image').src = image.url;
    else $('attached-image').removeAttribute('src');
    $('attached-size').textContent = image === null ? '' : bytesText(data.length);
  }

  async function take(file) {
    if (file === undefined || file === null) return;
    hint('');
    try {
      attach(await prepare(file, talk.most - 1024));
      say.focus();
    } catch (error) {
      hint(error.message);
    }
  }

  /**
   * The bytes of an image file as they are sent. Photos are made smaller, and written anew so that the place
   * and the camera that a file of one tells are not told to the channel.
   */
  async function prepare(file, most) {
    const large = new Error(`This image is too large: ${bytesText(most)} is the most that can be sent.`);
    if (file.size > FILE_MAX) throw large;
    const data = new Uint8Array(await file.arrayBuffer());
    const info = imageInfo(data);
    if (info === null) throw new Error('This is not an image that can be sent: PNG, JPEG, GIF and WebP can.');
    const { type, width, height } = info;
    const asItIs = type === 'image/gif' || (type !== 'image/jpeg' && data.length <= AS_IT_IS_MAX);
    if (asItIs) {
      if (data.length > most) throw large;
      return data;
    }
    if (width * height > PIXELS_MAX) throw large;
    let bitmap;
    try {
      bitmap = await createImageBitmap(new Blob([data], info));
    } catch {
      throw new Error('This image is damaged: the browser cannot read it.');
    }
    const canvas = element('canvas', '');
    [canvas.width, canvas.height] = scaled(bitmap.width, bitmap.height);
    canvas.getContext('2d').drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    bitmap.close();
    const to = type === 'image/jpeg' ? type : 'image/webp'; // which can be transparent, too
    const blob = await new Promise((resolve) => { canvas.toBlob(resolve, to, 0.88); });
    const made = blob === null ? data : new Uint8Array(await blob.arrayBuffer());
    const best = type !== 'image/jpeg' && made.length > data.length ? data : made;
    if (best.length > most) throw large;
    return best;
  }

  async function copyLink({ currentTarget }) {
    const label = currentTarget.querySelector('span');
    const before = label.dataset.text ??= label.textContent;
    try {
      await navigator.clipboard.writeText(`${location.origin}/${hashOf(talk.channel)}`);
      label.textContent = 'Link copied';
    } catch {
      label.textContent = 'Copy the address bar';
    }
    setTimeout(() => { label.textContent = before; }, 2500);
  }

  /** The field grows with its text, up to what the style sheet allows. */
  function grow() {
    if (CSS.supports('field-sizing', 'content')) return;
    say.rows = Math.min(6, say.value.split('\n').length);
  }

  // Events

  for (const [form, run] of [[$('join-form'), join], [$('say-form'), send]]) {
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      run();
    });
  }
  say.addEventListener('input', grow);
  say.addEventListener('keydown', (event) => {
    if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    send();
  });
  say.addEventListener('paste', (event) => {
    const file = [...event.clipboardData.files].find(({ type }) => type.startsWith('image/'));
    if (file === undefined) return;
    event.preventDefault();
    take(file);
  });
  for (const name of ['dragover', 'drop']) {
    addEventListener(name, (event) => {
      if (!event.dataTransfer.types.includes('Files')) return;
      event.preventDefault(); // the browser would leave the page to show the file
      if (name === 'drop' && document.body.dataset.view === 'chat') take(event.dataTransfer.files[0]);
    });
  }
  $('attach').addEventListener('click', () => $('file').click());
  $('file').addEventListener('change', () => {
    take($('file').files[0]);
    $('file').value = '';
  });
  $('detach').addEventListener('click', () => {
    attach(null);
    say.focus();
  });
  $('leave').addEventListener('click', () => leave('', fields.channel));
  $('change').addEventListener('click', () => leave($('why').textContent, wrong));
  for (const id of ['link', 'empty-link']) $(id).addEventListener('click', copyLink);
  $('retry').addEventListener('click', () => {
    talk.connect();
    say.focus();
  });
  const hurry = () => { if (document.body.dataset.state === 'waiting' && !document.hidden) talk.connect(); };
  addEventListener('online', hurry);
  // A page that the browser keeps for "back" would keep its place on the channel; it connects again when shown.
  addEventListener('pagehide', () => talk?.link && talk.closed(talk.link, 1001, '', true));
  addEventListener('pageshow', hurry);
  document.addEventListener('visibilitychange', () => {
    hurry();
    seen();
  });
  addEventListener('focus', seen);
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
  $('large').addEventListener('click', () => $('large').close());

  // Beginning

  const takeHash = () => {
    if (document.body.dataset.view !== 'join') return;
    const { channel, name } = parseHash(location.hash);
    fields.channel.value = channel || fields.channel.value;
    fields.name.value = name || fields.name.value;
  };
  addEventListener('hashchange', takeHash);
  takeHash();
  try {
    fields.name.value ||= sessionStorage.getItem('mles.name') ?? '';
  } catch { /* storage is off */ }
  $('server').textContent = location.host;
  ([fields.name, fields.channel].find((field) => field.value === '') ?? $('enter')).focus();
}

if (typeof module !== 'undefined') {
  module.exports = {
    siphash24, authOf, headerOf, faultOf, parseAnnouncement, closeOf, retryDelay, splitName, imageFrame, parseImage,
    imageInfo, scaled, bytesText, splitLinks, shortName, parseHash, hashOf, keyOf, Known, replayEnd, inDoubt, Talk,
  };
}
if (typeof document !== 'undefined') start();
