// SPDX-License-Identifier: MPL-2.0
// Run with: node --test runtime-common/page/
'use strict';

const test = require('node:test');
const assert = require('node:assert/strict');
const page = require('./app.js');

/** The beginnings of images of 300 × 200 pixels. */
const hex = (text) => Uint8Array.from(Buffer.from(text.replaceAll(' ', ''), 'hex'));
const IMAGES = {
  png: hex('89504e470d0a1a0a 0000000d49484452 0000012c000000c8 0802000000 00000000'),
  gif: hex('474946383961 2c01c800 f00000 00'),
  jpeg: hex('ffd8 ffe0 0008 4a4649460001 ffff db 0003 00 ffc4 0002 ffc2 0011 08 00c8 012c 03 000000'),
  webp: hex('52494646 64000000 57454250 56503820 58000000 d00100 9d012a 2c01 c800 0000'),
  'webp without loss': hex('52494646 64000000 57454250 5650384c 58000000 2f 2bc13100 00'),
  'webp extended': hex('52494646 64000000 57454250 56503858 0a000000 10000000 2b0100 c70000 00'),
};

test('SipHash-2-4 with a zero key', () => {
  assert.equal(page.siphash24(new Uint8Array()), 0x1e924b9d737700d7n);
  const bytes = (n) => Uint8Array.from({ length: n }, (_, i) => i);
  // every length of the last word gives another value
  assert.equal(new Set(Array.from({ length: 64 }, (_, n) => page.siphash24(bytes(n)))).size, 64);
});

// A1.1; A1.2: 16 lower-case digits, leading zeros written.
test('auth vectors', () => {
  assert.equal(page.authOf('alice', 'example', ''), '9b3b95527f7c2d80');
  assert.equal(page.authOf('bob', 'example', ''), '046ade5ad5646648');
  assert.equal(page.authOf('alice', 'example', 'mles-devel-frank'), 'cddd69d5f9771d66');
  assert.equal(page.authOf('ab', 'c', ''), '3fc884964770eede');
  assert.equal(page.authOf('a', 'bc', ''), '3fc884964770eede');
});

test('header', () => {
  assert.equal(page.headerOf('alice', 'example', ''), '{"uid":"alice","channel":"example"}');
  assert.equal(
    page.headerOf('alice', 'example', 'mles-devel-frank'),
    '{"uid":"alice","channel":"example","auth":"cddd69d5f9771d66"}',
  );
});

test('names and channels that cannot be joined with', () => {
  assert.equal(page.faultOf('alice', 'example', ''), '');
  assert.equal(page.faultOf('Åsa 🦊', 'c++ & co', 'k'), '');
  for (const [uid, channel] of [['', 'c'], ['a', ''], ['a\0', 'c'], ['a', '\ud800'], ['a: b', 'c'], ['a', 'é'.repeat(2100)]]) {
    assert.notEqual(page.faultOf(uid, channel, ''), '', JSON.stringify([uid, channel]));
  }
});

test('announcements', () => {
  const parse = (text) => page.parseAnnouncement(text, 'example');
  assert.equal(parse('{"uid":"bob","channel":"example"}'), 'bob');
  assert.equal(parse('{"uid":"b\\"\\n\\u001f","channel":"example"}'), 'b"\n\x1f');
  for (const text of [
    '', 'hello', '{"uid":"', '{"uid":"bob","channel":"other"}', '{"channel":"example","uid":"bob"}',
    '{"uid": "bob","channel":"example"}', '{"uid":"bob","channel":"example"} ', '{"uid":"","channel":"example"}',
    '{"uid":"bob","channel":"example","auth":"0"}', '{"uid":"bob","uid":"eve","channel":"example"}',
    '{"uid":1,"channel":"example"}', '{"uid":"b\\u001F","channel":"example"}', '{"uid":"b\\/","channel":"example"}',
  ]) assert.equal(parse(text), null, text);
});

test('names in front of messages', () => {
  const names = new Set(['bob', 'Zoë <b>', 'x'.repeat(64), 'y'.repeat(65)]);
  const split = (text) => page.splitName(text, names);
  assert.deepEqual(split('bob: hello: you'), { name: 'bob', text: 'hello: you' });
  assert.deepEqual(split('bob: '), { name: 'bob', text: '' });
  assert.deepEqual(split('Zoë <b>: hi'), { name: 'Zoë <b>', text: 'hi' });
  assert.equal(split(`${'x'.repeat(64)}: hi`).text, 'hi');
  for (const text of ['', ': hi', 'bob:hi', 'Bob: hi', 'eve: hi', ' bob: hi', 'note: bob: hi', `${'y'.repeat(65)}: hi`]) {
    assert.deepEqual(split(text), { name: null, text });
  }
});

test('images in binary frames, with a name behind', () => {
  for (const [type, bytes] of Object.entries(IMAGES)) {
    assert.deepEqual(page.imageInfo(bytes), { type: `image/${type.split(' ')[0]}`, width: 300, height: 200 }, type);
    const frame = page.imageFrame(bytes, 'Zoë');
    assert.deepEqual(page.parseImage(frame), { name: 'Zoë', image: bytes, ...page.imageInfo(bytes) });
    assert.deepEqual(page.parseImage(bytes).name, null, 'as other programs send it');
    for (let end = 0; end < bytes.length; end += 1) page.parseImage(bytes.subarray(0, end)); // and does not throw
  }
});

test('a name behind an image that is none', () => {
  const png = IMAGES.png;
  const name = (...tail) => page.parseImage(Uint8Array.from([...png, ...tail.flatMap((part) => (typeof part === 'string' ? [...Buffer.from(part)] : part))])).name;
  assert.equal(name('\0bob\0mles'), 'bob');
  assert.equal(name('\0x\0bob\0mles'), 'bob');
  for (const tail of ['\0\0mles', 'bob', '\0bob\0', '\0bob\0mles ', `\0${'x'.repeat(65)}\0mles`]) assert.equal(name(tail), null, tail);
  assert.equal(name([0, 0xff], '\0mles'), null);
});

test('what is not shown as an image', () => {
  for (const bytes of [
    [], Buffer.from('<svg xmlns="http://www.w3.org/2000/svg"/>'), Buffer.from('BM......'), Buffer.from('\0mles'),
    [0xff, 0xd8, 0xff], [0xff, 0xd8, 0xff, 0xff, 0xff, 0xff], IMAGES.png.with(19, 0).with(18, 0), Buffer.from('RIFF....WEBPVP8?'.padEnd(40)),
    Buffer.from('<script>alert(1)</script>'), [...Buffer.from('<html>'), ...IMAGES.png],
  ]) assert.equal(page.parseImage(Uint8Array.from(bytes)), null);
});

test('images are scaled down, never up', () => {
  assert.deepEqual(page.scaled(4096, 1024), [2048, 512]);
  assert.deepEqual(page.scaled(100, 50), [100, 50]);
  assert.deepEqual(page.scaled(100_000, 2), [2048, 1]);
});

test('web addresses in a text', () => {
  assert.deepEqual(page.splitLinks('see https://a.example/x?y=1#z, (http://b.example/), ok'), [
    'see ', { href: 'https://a.example/x?y=1#z' }, ', (', { href: 'http://b.example/' }, '), ok',
  ]);
  assert.deepEqual(page.splitLinks('https://en.example/wiki/A_(b)'), [{ href: 'https://en.example/wiki/A_(b)' }]);
  for (const text of ['javascript:alert(1)', 'ftp://a.example', 'https://', 'a <b>c</b>']) {
    assert.deepEqual(page.splitLinks(text), [text]);
  }
  assert.deepEqual(page.splitLinks(''), []);
  assert.equal(page.splitLinks('http://a '.repeat(1000)).filter((part) => part.href).length, 100);
});

test('names that would turn the text around them', () => {
  assert.equal(page.shortName('a\u202eb\nc\u2066'), 'a\ufffdb\ufffdc\ufffd');
  assert.equal(page.shortName('🦊'.repeat(65)), `${'🦊'.repeat(64)}…`);
});

test('what a close means', () => {
  for (const code of [1001, 1006, 1009, 1011, 1012, 4003, 4004, 4005, 4008]) assert.equal(page.closeOf(code, true).again, true, code);
  for (const code of [1000, 1002, 1007, 4000, 4001, 4002, 4011, 4999]) assert.equal(page.closeOf(code, true).again, false, code);
  assert.match(page.closeOf(4001, true).sentence, /key/);
  assert.match(page.closeOf(1006, true).sentence, /lost/);
  assert.match(page.closeOf(1006, false).sentence, /cannot be reached/);
});

test('the delay before a try grows, is spread, and has an end', () => {
  assert.deepEqual([0, 1, 2, 10].map((tries) => page.retryDelay(tries, 0)), [500, 1000, 2000, 15_000]);
  assert.deepEqual([0, 1, 2, 10].map((tries) => page.retryDelay(tries, 1)), [1000, 2000, 4000, 30_000]);
});

test('channel and name of a link', () => {
  assert.deepEqual(page.parseHash('#channel=c%2B%2B%20%26%20co'), { channel: 'c++ & co', name: '' });
  assert.deepEqual(page.parseHash('#name=bob&channel=a+b'), { channel: 'a+b', name: 'bob' });
  assert.deepEqual(page.parseHash('#channel=%'), { channel: '%', name: '' });
  assert.deepEqual(page.parseHash(''), { channel: '', name: '' });
  assert.equal(page.parseHash(page.hashOf('c++ & #1')).channel, 'c++ & #1');
});

test('frames are known again', () => {
  const bytes = (text) => new Uint8Array(Buffer.from(text));
  const keys = ['', 'a', 'b', 'ab', 'ba', 'aa', 'é', 'a'.repeat(1000), bytes(''), bytes('a'), bytes('ab')].map(page.keyOf);
  assert.equal(new Set(keys).size, keys.length);
  assert.ok(keys.every(Number.isSafeInteger));
  assert.equal(page.keyOf('bob: hello'), page.keyOf('bob: hello'));
});

test('end of the replay', () => {
  const end = (opened, last, frames, lost = false) => page.replayEnd({ opened, last, frames, lost });
  assert.equal(end(1000, 1000, 0), 3000);
  assert.equal(end(1000, 1000, 0, true), 9000); // the server may look for the lost session first
  assert.equal(end(1000, 6300, 4, true), 8300);
  assert.equal(end(1000, 60_900, 999), 61_000); // a channel that is never quiet
});

test('known frames: those of others in their order, own ones in theirs', () => {
  const known = new page.Known([
    { n: 1, key: 10, message: null }, { n: 2, key: 20, message: 'own' }, { n: 3, key: 11, message: null },
    { n: 4, key: 10, message: null }, { n: 5, key: 21, message: 'own' },
  ]);
  assert.equal(known.first, Infinity);
  assert.equal(known.take(11).n, 3); // the history begins here,
  assert.equal(known.take(20).n, 2); // and this one took longer to the server than it seems here
  assert.equal(known.take(10).n, 4);
  assert.equal(known.take(10), null); // said once more
  assert.equal(known.take(99), null);
  assert.equal(known.take(21).n, 5);
  assert.equal(known.first, 2);
});

// --- A conversation, with time and server in the hands of the test ---

/** A Talk with what it shows in `log`, and the sockets that it opened. */
function talk(who = {}) {
  let now = 0;
  const timers = new Set();
  const world = { sockets: [], states: [], log: [], messages: [], replays: [], lates: 0 };
  const io = {
    now: () => now,
    after: (ms, run) => {
      const timer = { at: now + ms, run };
      timers.add(timer);
      return () => timers.delete(timer);
    },
    random: () => 1,
    connect: () => {
      const socket = { sent: [], open: false, send: (frame) => socket.sent.push(frame), close: () => { socket.open = false; } };
      world.sockets.push(socket);
      return socket;
    },
    state: (state, detail) => { world.states.push(state); world.detail = detail; },
    show: ({ frame, joined, own, past, missed }) => {
      if (own) world.messages.push(own);
      world.log.push(`${missed ? '?' : past ? '<' : own ? '>' : ''}${joined === undefined ? frame : `+${joined}`}`);
    },
    changed: () => {},
    replayed: (frames) => world.replays.push(frames),
    late: () => { world.lates += 1; },
  };
  world.talk = new page.Talk({ uid: 'alice', channel: 'c', key: '', ...who }, io);
  world.pass = (ms) => {
    const until = now + ms;
    for (;;) {
      const [next] = [...timers].filter(({ at }) => at <= until).sort((a, b) => a.at - b.at);
      if (next === undefined) break;
      timers.delete(next);
      now = next.at;
      next.run();
    }
    now = until;
  };
  const socket = () => world.sockets.at(-1);
  world.open = () => { socket().open = true; socket().onopen(); };
  world.get = (...frames) => frames.forEach((data) => socket().onmessage({ data }));
  world.close = (code, reason = '') => socket().onclose({ code, reason, wasClean: code !== 1006 });
  world.said = () => socket().sent.slice(1);
  world.state = () => world.states.at(-1);
  /** Connects, gets this history, and it is over. */
  world.begin = (...history) => {
    world.talk.connect();
    world.open();
    world.get(...history);
    world.pass(2000);
    world.log.length = 0;
  };
  /** Connects again by itself, and gets this history. */
  world.again = (...history) => {
    for (const { length } = world.sockets; world.sockets.length === length;) world.pass(100);
    world.open();
    world.get(...history);
    world.pass(2000);
  };
  return world;
}
const joins = (uid) => `{"uid":"${uid}","channel":"c"}`;

test('history first, then what is live', () => {
  const w = talk({ key: 'k' });
  w.talk.connect();
  assert.equal(w.state(), 'connecting');
  w.open();
  assert.equal(w.sockets[0].sent[0], page.headerOf('alice', 'c', 'k'));
  w.get(joins('bob'), 'bob: hello');
  assert.equal(w.state(), 'joined');
  w.pass(1999);
  w.get('bob: are you there?');
  w.pass(1999);
  assert.deepEqual(w.replays, []);
  w.pass(1);
  assert.deepEqual(w.replays, [3]);
  w.get('bob: well?', joins('carol'));
  w.talk.say('alice: yes');
  assert.deepEqual(w.log, ['<+bob', '<bob: hello', '<bob: are you there?', 'bob: well?', '+carol', '>alice: yes']);
  assert.deepEqual(w.said(), ['alice: yes']);
});

test('no answer to the header says yes', () => {
  const w = talk();
  w.talk.connect();
  w.open();
  w.talk.say('alice: hi');
  assert.deepEqual([w.state(), w.said()], ['connecting', []]);
  w.pass(500);
  assert.deepEqual([w.state(), w.said()], ['joined', ['alice: hi']]);
});

test('who talks is not reading the history any more', () => {
  const w = talk();
  w.talk.connect();
  w.open();
  w.get('bob: hello');
  w.talk.say('alice: hi');
  w.get('bob: ah');
  assert.deepEqual(w.log, ['<bob: hello', '>alice: hi', 'bob: ah']);
  const first = talk(); // on a channel that was empty
  first.talk.connect();
  first.open();
  first.pass(600);
  first.talk.say('alice: hi');
  first.get(joins('bob'), 'bob: ah');
  assert.deepEqual(first.log, ['>alice: hi', '+bob', 'bob: ah']);
});

test('a history that comes late shows itself by the own name', () => {
  const w = talk();
  w.talk.connect();
  w.open();
  w.pass(5100); // the server waited for an older session of alice
  w.get('bob: hello', joins('alice'), 'bob: bye');
  assert.equal(w.lates, 1);
  assert.deepEqual(w.log, ['bob: hello', '<+alice', '<bob: bye']);
});

test('a refusal is not tried again', () => {
  for (const [code, sentence] of [[4000, /name or channel/], [4001, /key/], [4002, /another name/]]) {
    const w = talk();
    w.talk.connect();
    w.open();
    w.close(code, 'because');
    w.pass(100_000);
    assert.equal(w.state(), 'refused');
    assert.match(w.detail.sentence, sentence);
    assert.equal(w.detail.reason, 'because');
    assert.deepEqual([w.sockets.length, w.talk.member], [1, false]);
  }
});

test('a server that was never reached is not tried again by itself', () => {
  const w = talk();
  w.talk.connect();
  w.close(1006);
  assert.equal(w.state(), 'closed');
  const slow = talk();
  slow.talk.connect();
  slow.pass(15_000);
  assert.equal(slow.state(), 'closed');
});

test('a lost connection is made again, more and more seldom', () => {
  const w = talk();
  w.begin();
  for (const delay of [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]) {
    w.close(1006);
    assert.equal(w.state(), 'waiting');
    const { length } = w.sockets;
    w.pass(delay - 1);
    assert.equal(w.sockets.length, length);
    w.pass(1);
    assert.equal(w.sockets.length, length + 1);
  }
  w.open();
  w.pass(10_001); // it lasted
  w.close(1012);
  w.pass(1000);
  assert.equal(w.sockets.length, 9);
});

test('what is replayed to who comes back is not shown twice', () => {
  const w = talk();
  w.begin(joins('bob'), 'bob: ok', 'bob: one');
  w.talk.say('alice: mine');
  w.get('bob: ok', 'bob: two');
  w.log.length = 0;
  w.close(4008);
  // The server accepted the own message before bob's; bob went on, and joined again.
  w.again('bob: one', 'alice: mine', 'bob: ok', 'bob: two', 'bob: ok', joins('bob'), joins('alice'), joins('carol'));
  assert.deepEqual(w.log, ['?bob: ok', '?+carol']);
  w.get('bob: ok', 'bob: one', joins('bob'));
  assert.deepEqual(w.log.slice(2), ['bob: ok', 'bob: one', '+bob']);
});

test('images are not shown twice either', () => {
  const w = talk();
  const frame = page.imageFrame(IMAGES.png, 'bob');
  w.begin(frame.slice().buffer);
  w.close(4005);
  w.again(frame.slice().buffer);
  assert.deepEqual(w.log, []);
});

test('what is written without a connection is sent when there is one', () => {
  const w = talk();
  w.begin('bob: hello');
  w.close(1012);
  w.talk.say('alice: one');
  w.talk.say('alice: two');
  assert.deepEqual(w.messages.map(({ state }) => state), ['pending', 'pending']);
  w.pass(1000);
  w.open();
  assert.deepEqual(w.said(), []);
  w.pass(500);
  assert.deepEqual(w.said(), ['alice: one', 'alice: two']);
  assert.deepEqual(w.messages.map(({ state }) => state), ['sent', 'sent']);
});

test('what the replay shows to be lost is sent again, before what was written since', () => {
  const w = talk();
  w.begin('bob: hello');
  w.talk.say('alice: one');
  w.pass(60_000);
  w.talk.say('alice: two');
  w.close(1006);
  w.talk.say('alice: three');
  assert.deepEqual(w.messages.map(({ state }) => state), ['checking', 'checking', 'pending']);
  w.pass(1000);
  w.open();
  w.pass(5000); // the server looks for the lost session
  assert.deepEqual(w.said(), []);
  w.get('bob: hello', 'alice: one', 'bob: where are you?');
  w.pass(2000);
  assert.deepEqual(w.said(), ['alice: two', 'alice: three']);
  assert.deepEqual(w.messages.map(({ state }) => state), ['sent', 'sent', 'sent']);
});

test('what the replay cannot tell about is left to the user', () => {
  const w = talk();
  w.begin('bob: hello');
  w.talk.say('alice: long ago');
  w.pass(3000);
  w.talk.say('alice: just now');
  w.pass(100);
  w.close(1012); // and the history is gone
  w.again();
  assert.deepEqual(w.messages.map(({ state }) => state), ['sent', 'doubt']);
  assert.deepEqual(w.said(), []);
  w.talk.repeat(w.messages[1]);
  assert.deepEqual(w.said(), ['alice: just now']);
  w.close(1006);
  w.again('alice: just now'); // once
  assert.deepEqual(w.messages.map(({ state }) => state), ['sent', 'sent']);
  assert.deepEqual(w.said(), []);
});

test('what was heard since shows that a message arrived', () => {
  const w = talk();
  w.begin('bob: hello');
  w.talk.say('alice: one');
  w.pass(6000);
  w.get('bob: two');
  w.pass(6000);
  w.close(1006);
  assert.deepEqual(w.messages.map(({ state }) => state), ['sent']);
});

test('what a session sent that was refused has reached nobody', () => {
  const w = talk();
  w.begin('bob: hello');
  w.close(1006);
  w.talk.say('alice: one');
  w.pass(1000);
  w.open();
  w.pass(600);
  assert.deepEqual(w.said(), ['alice: one']);
  w.close(4002); // once or twice this is the session that was lost
  assert.deepEqual([w.state(), w.messages[0].state], ['waiting', 'pending']);
  for (const delay of [2000, 4000]) {
    w.pass(delay);
    w.open();
    w.close(4002);
  }
  assert.deepEqual([w.state(), w.messages[0].state], ['refused', 'pending']);
  w.talk.connect(); // asked for
  w.open();
  w.get('bob: hello');
  assert.deepEqual(w.said(), ['alice: one']);
});

test('a message that is too large for the server is not sent again', () => {
  const w = talk();
  w.begin('bob: hello');
  w.talk.say('alice: small');
  const large = w.talk.say(new Uint8Array(5000));
  w.close(1009);
  assert.deepEqual([w.state(), large.state, w.talk.most], ['waiting', 'large', 4999]);
  w.again('bob: hello');
  assert.deepEqual(w.said(), ['alice: small']);
});

test('what has not left the browser is in doubt, however long ago it was sent', () => {
  const w = talk();
  w.begin('bob: hello');
  w.talk.say('alice: one');
  w.talk.say(new Uint8Array(5000));
  w.pass(10_000);
  w.sockets[0].bufferedAmount = 1;
  w.close(1012);
  assert.deepEqual(w.messages.map(({ state }) => state), ['sent', 'checking']);
});

test('leaving says nothing more', () => {
  const w = talk();
  w.begin('bob: hello');
  const { length } = w.states;
  w.talk.drop();
  w.get('bob: bye');
  w.pass(100_000);
  assert.deepEqual([w.log, w.states.length, w.sockets.length], [[], length, 1]);
  w.talk.connect(); // and comes back
  w.open();
  w.get('bob: hello', 'bob: bye');
  assert.deepEqual(w.log, ['?bob: bye']);
});
