// The service as one would write it in JavaScript: @grpc/grpc-js in one process, pg with 16 connections. It reads
// a quote, saves a message with what traffic.py gives one, statement by statement in a transaction, and a reaction.
// All statements have names, by which pg prepares them once a connection. Prints `ready PORT`.
// usage: node node_peer.js DSN
'use strict';
const path = require('node:path');
const project = path.join(__dirname, '../..');
const tools = require('node:module').createRequire(path.join(project, 'tests/tools/package.json'));
const grpc = tools('@grpc/grpc-js');
const loader = tools('@grpc/proto-loader');
const pg = tools('pg');

const CONNECTIONS = 16;
const MESSAGE = [
  'message_id', 'content', 'user_name', 'server_name', 'server_id', 'channel_id', 'channel_name', 'user_id',
  'user_nick', 'jump_url', 'is_bot', 'deleted', 'reference', 'created_at',
];
const ATTACHMENT = ['id', 'filename', 'url', 'size', 'height', 'width', 'is_spoiler', 'message_id'];
const EMBED = [
  'title', 'description', 'url', 'color', 'footer_text', 'image_url', 'thumbnail_url', 'author_name', 'message_id',
  'created_at',
];

// A named statement as a function of a row's values to what pg takes.
function statement(name, columns, text) {
  return (row) => ({name, text, values: columns.map((column) => row[column])});
}

function inserted(table, columns, end = '') {
  const places = columns.map((_, index) => `$${index + 1}`);
  return statement(table, columns, `insert into ${table} (${columns}) values (${places}) ${end}`);
}

const getQuote = statement(
    'quote', ['serial_id'], 'select serial_id, quote, author, author_id, time from quotes where serial_id = $1');
const insertUser =
    inserted('users', ['user_id', 'username', 'created_at', 'bot'], 'on conflict (user_id) do nothing');
const insertMessage = inserted('messages', MESSAGE, 'on conflict (message_id) do nothing');
const insertAttachment = inserted('attachments', ATTACHMENT);
const insertEmbed = inserted('embeds', EMBED, 'returning id');
const insertMention = inserted('mentions', ['message_id', 'user_mention']);
const upsertReaction = inserted(
    'reactions', ['message_id', 'user_id', 'unicode_emoji', 'emoji_name', 'is_custom_emoji', 'date'],
    'on conflict (message_id, user_id, unicode_emoji) do update set removed = false');

function timestamp(date) {
  const millis = date.getTime();
  const seconds = Math.floor(millis / 1000);
  return {seconds, nanos: 1e6 * (millis - 1000 * seconds)};
}

// In UTC, as the columns without a time zone are.
function utc(time) {
  return new Date(time ? 1000 * Number(time.seconds) : 0).toISOString();
}

function main(dsn) {
  const {host, port, user, dbname: database} = Object.fromEntries(dsn.split(' ').map((word) => word.split('=')));
  const pool = new pg.Pool({host, port, user, database, max: CONNECTIONS, idleTimeoutMillis: 0});

  async function quote({serial_id}) {
    const {rows: [row]} = await pool.query(getQuote({serial_id}));
    if (!row) throw {code: grpc.status.NOT_FOUND};
    return {quote: {...row, time: timestamp(row.time)}};
  }

  async function save({message, author}) {
    const {message_id} = message;
    const created_at = utc(message.created_at);
    const statements = [
      insertUser({
        user_id: message.user_id, username: author.username, created_at: utc(author.created_at), bot: author.bot,
      }),
      insertMessage({...message, created_at}),
      ...message.attachments.map((each) => insertAttachment({...each, message_id})),
      ...message.embeds.map((each) => insertEmbed({...each, message_id, created_at})),
      ...message.user_mentions.map((user_mention) => insertMention({message_id, user_mention})),
    ];
    const client = await pool.connect();
    let failure;
    try {
      await client.query('begin');
      for (const each of statements) await client.query(each);
      await client.query('commit');
    } catch (error) {
      failure = error;
      throw error;
    } finally {
      client.release(failure);  // with a failure the connection is closed, and its transaction with it
    }
    return {created: true};
  }

  async function react({message_id, user_id, unicode, date}) {
    await pool.query(upsertReaction({
      message_id, user_id, unicode_emoji: unicode, emoji_name: unicode, is_custom_emoji: false, date: utc(date),
    }));
    return {};
  }

  function unary(method) {
    return ({request}, answer) =>
      method(request).then((response) => answer(null, response), (error) => answer(error));
  }

  const {QuotesService, MessagesService, ReactionsService} = grpc.loadPackageDefinition(loader.loadSync(
      ['quotes', 'messages', 'reactions'].map((name) => `twi/data/v1/${name}.proto`), {
        // Fields that are not set and have presence stay undefined, which pg sends as NULL.
        longs: String, keepCase: true, defaults: true,
        includeDirs: [path.join(project, 'proto'), path.join(project, 'proto/third_party')],
      })).twi.data.v1;
  const server = new grpc.Server();
  server.addService(QuotesService.service, {GetQuote: unary(quote)});
  server.addService(MessagesService.service, {SaveMessage: unary(save)});
  server.addService(ReactionsService.service, {UpsertReaction: unary(react)});
  server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, bound) => {
    if (error) throw error;
    console.log('ready', bound);
  });
  process.on('SIGTERM', () => {
    server.forceShutdown();
    pool.end();
  });
}

main(process.argv[2]);
