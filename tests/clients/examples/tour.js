// The common tasks in JavaScript, with @grpc/grpc-js and @grpc/proto-loader. usage: node tour.js HOST:PORT
'use strict';
const fs = require('node:fs');
const path = require('node:path');
const {setTimeout: sleep} = require('node:timers/promises');
const project = path.join(__dirname, '../../..');
// A project of your own has them in its node_modules: const grpc = require('@grpc/grpc-js');
const tools = require('node:module').createRequire(path.join(project, 'tests/tools/package.json'));
const grpc = tools('@grpc/grpc-js');
const loader = tools('@grpc/proto-loader');

// Ids have more digits than a JavaScript number, so they are strings. `json` unpacks details of errors.
const options = {
  longs: String, enums: String, defaults: true, json: true,
  includeDirs: [path.join(project, 'proto'), path.join(project, 'proto/third_party')],
};
const definitions = loader.loadSync(
    [
      ...['gallery_mementos', 'links', 'messages', 'quotes'].map((name) => `twi/data/v1/${name}.proto`),
      'google/rpc/status.proto', 'google/rpc/error_details.proto',
    ], options);
const {GalleryMementosService, LinksService, MessagesService, QuotesService} =
    grpc.loadPackageDefinition(definitions).twi.data.v1;
const serviceConfig = fs.readFileSync(path.join(project, 'clients/service_config.json'), 'utf8');

// A unary call as a promise, to be answered within so many seconds.
function call(stub, method, request, seconds = 5) {
  return new Promise((resolve, reject) => {
    stub[method](request, {deadline: Date.now() + 1000 * seconds},
        (error, answer) => error ? reject(error) : resolve(answer));
  });
}

// What the server says of an error, by the kind of detail: BadRequest, ErrorInfo, RetryInfo.
function details(error) {
  const found = {};
  for (const bytes of error.metadata.get('grpc-status-details-bin')) {
    for (const detail of definitions['google.rpc.Status'].deserialize(bytes).details) {
      found[detail['@type'].split('.').pop()] = detail;
    }
  }
  return found;
}

// Adds a quote, also when the database is away for a moment. gRPC does not try again by itself what may
// be done only once; the server's RetryInfo says that nothing was done, and when to.
async function create(stub, text) {
  for (;;) {
    try {
      return (await call(stub, 'CreateQuote', {quote: text})).quote;
    } catch (error) {
      const {RetryInfo} = details(error);
      if (!RetryInfo) throw error;
      const {seconds, nanos} = RetryInfo.retryDelay;
      await sleep(1000 * Number(seconds) + nanos / 1e6);
    }
  }
}

async function get(stub, serialId) {
  // When the server is being replaced, gRPC tries this again by itself, as the service config says.
  const {quote} = await call(stub, 'GetQuote', {serialId}, 10);
  console.log('get:', quote.quote);
}

async function pages(stub) {
  const found = [];
  let count = 0;
  let pageToken = '';
  do {
    const page = await call(stub, 'ListQuotes', {pageSize: 2, pageToken}, 10);
    found.push(...page.quotes);
    pageToken = page.nextPageToken;
    ++count;
  } while (pageToken);
  console.log(`list: ${found.length} quotes on ${count} pages`);
}

async function update(stub) {
  await call(stub, 'CreateLink', {title: 'Tour', content: 'https://a.example/', tag: 'new'});
  // Without a mask what is set is changed, and the rest left alone.
  let {link} = await call(stub, 'UpdateLink', {title: 'tour', content: 'https://b.example/'});
  console.log('update:', link.content, link.tag);
  // A mask says what is changed; what it names and the request does not set is cleared.
  ({link} = await call(stub, 'UpdateLink', {title: 'tour', updateMask: {paths: ['tag']}}));
  console.log('update:', link.content, 'tag' in link ? 'with a tag' : 'without a tag');
  await call(stub, 'DeleteLink', {title: 'tour'});
}

function importMessages(stub, messages) {
  return new Promise((resolve, reject) => {
    const stream = stub.ImportMessages({deadline: Date.now() + 60000},
        (error, answer) => error ? reject(error) : resolve(answer));
    for (const message of messages) stream.write({message});
    stream.end();
  });
}

async function streamIn(stub) {
  const messages = ['One.', 'Two.', 'Three.'].map((content, place) => ({
    messageId: place + 1, serverId: 1, serverName: 'Inn', channelId: 2, userId: 3,
    userName: 'erin', content,
    createdAt: {seconds: Date.UTC(2026, 10, 26, 12, place + 1) / 1000},
  }));
  // Who is not sure that all have arrived sends them again.
  await importMessages(stub, messages);
  const {created, existing} = await importMessages(stub, messages);
  console.log('stream in:', Number(created) + Number(existing), 'messages are there');
}

async function streamOut(stub) {
  const texts = [];
  for await (const {messages} of stub.StreamMessages({channelId: 2}, {deadline: Date.now() + 60000})) {
    texts.push(...messages.map((message) => message.content));
  }
  console.log('stream out:', ...texts);
}

async function refused(stub) {
  await call(stub, 'CreateQuote', {quote: 'a', authorId: -1}).catch((error) => {
    const violations = details(error).BadRequest.fieldViolations;
    console.log('refused:', grpc.status[error.code], ...violations.map(({field}) => field));
  });
  await call(stub, 'GetQuote', {serialId: '1099511627776'}).catch((error) => {
    console.log('refused:', grpc.status[error.code], details(error).ErrorInfo.reason);
  });
}

async function deadline(stub) {
  try {
    // A table that others have locked would keep us waiting.
    await call(stub, 'ListGalleryMementos', {}, 0.5);
    console.log('in time');
  } catch (error) {
    console.log('late:', grpc.status[error.code]);
  }
}

async function main(target) {
  const [quotes, links, messages, gallery] =
      [QuotesService, LinksService, MessagesService, GalleryMementosService].map(
          // Stubs of one target and the same options share its connections.
          (Service) => new Service(target, grpc.credentials.createInsecure(),
              {'grpc.service_config': serviceConfig}));
  const made = [];
  for (const text of ['Sing to me.', 'No killing.', 'Goblins.']) made.push(await create(quotes, text));
  await get(quotes, made[0].serialId);
  await pages(quotes);
  await update(links);
  await streamIn(messages);
  await streamOut(messages);
  await refused(quotes);
  await deadline(gallery);
  for (const {serialId} of made) await call(quotes, 'DeleteQuote', {serialId});
  for (const stub of [quotes, links, messages, gallery]) stub.close();
}

main(process.argv[2]).catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
