// SPDX-License-Identifier: MPL-2.0
// Run with: node --test runtime-common/page/
'use strict';

const test = require('node:test');
const assert = require('node:assert/strict');
const page = require('./app.js');

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

test('end of the history', () => {
  const end = (joined, first, last, frames) => page.historyEnd({ joined, first, last, frames });
  assert.equal(end(1000, 1000, 1000, 0), 9000);
  assert.equal(end(1000, 1200, 1300, 4), 1800);
  assert.equal(end(1000, 6000, 6100, 2), 6600);
  assert.equal(end(1000, 1200, 16_100, 999), 16_200);
});

test('close codes', () => {
  assert.match(page.closeText(4001, 'auth failed', true), /^Closed: The key .*\(code 4001: auth failed\)$/);
  assert.match(page.closeText(1006, '', true), /lost.*\(code 1006\)$/);
  assert.match(page.closeText(1006, '', false), /could not be reached/);
  assert.match(page.closeText(4999, '', true), /ended the connection/);
});

test('channel of a link', () => {
  assert.equal(page.channelOfHash('#channel=c%2B%2B%20%26%20co'), 'c++ & co');
  assert.equal(page.channelOfHash('#x=1&channel=a+b'), 'a+b');
  assert.equal(page.channelOfHash('#channel=%'), '%');
  assert.equal(page.channelOfHash(''), '');
});
