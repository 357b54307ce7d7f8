// Calls QuotesService knowing nothing of it but what reflection says.
// usage: node reflection.js HOST:PORT v1|v1alpha SERVICE...
'use strict';
const assert = require('node:assert/strict');
const {createRequire} = require('node:module');
const tools = createRequire(require.resolve('../tools/package.json'));
const grpc = tools('@grpc/grpc-js');
const {GrpcReflection} = tools('grpc-js-reflection-client');
const protobuf = createRequire(tools.resolve('@grpc/proto-loader'))('protobufjs');

const SERVICE = 'twi.data.v1.QuotesService';

async function main(address, version, ...dataServices) {
  const credentials = grpc.credentials.createInsecure();
  const reflection = new GrpcReflection(address, credentials, undefined, version);

  const services = await reflection.listServices();
  assert.deepEqual([...services].sort(), [
    'grpc.health.v1.Health',
    'grpc.reflection.v1.ServerReflection',
    'grpc.reflection.v1alpha.ServerReflection',
    ...dataServices,
  ]);
  // Each of them is described, not only listed.
  for (const service of services) {
    const methods = await reflection.listMethods(service);
    assert.ok(methods.length > 0, service);
  }

  const descriptor = await reflection.getDescriptorBySymbol(SERVICE);
  const {QuotesService} =
      descriptor.getPackageObject({longs: String, enums: String}).twi.data.v1;
  const stub = new QuotesService(address, credentials);
  const call = (method, request) => new Promise((resolve, reject) => {
    stub[method](request, (error, response) => error ? reject(error) : resolve(response));
  });

  const {quote} = await call('CreateQuote', {quote: 'Reflected.', author_id: '1191234567890123456'});
  assert.equal(quote.author_id, '1191234567890123456');
  assert.deepEqual((await call('GetQuote', {serial_id: quote.serial_id})).quote, quote);

  await call('CreateQuote', {quote: 'Reflected twice.'});
  const ids = [];
  let token = '';
  do {
    const page = await call('ListQuotes', {page_size: 1, page_token: token});
    assert.equal(page.quotes.length, 1);
    ids.push(page.quotes[0].serial_id);
    token = page.next_page_token;
  } while (token);
  const {count} = await call('CountQuotes', {});
  assert.equal(ids.length, Number(count));
  assert.equal(new Set(ids).size, ids.length);

  const refusal = await call('GetQuote', {serial_id: '999999999999'}).catch((error) => error);
  assert.equal(refusal.code, grpc.status.NOT_FOUND);
  const [bytes] = refusal.metadata.get('grpc-status-details-bin');
  const path = require('node:path').join(__dirname, '../../proto/third_party');
  const root = new protobuf.Root();
  root.resolvePath = (origin, target) =>
      target.startsWith('google/protobuf/') ? target : `${path}/${target}`;
  await root.load(['google/rpc/status.proto', 'google/rpc/error_details.proto']);
  const status = root.lookupType('google.rpc.Status').decode(bytes);
  const info = root.lookupType('google.rpc.ErrorInfo').decode(status.details[0].value);
  assert.equal(status.details[0].type_url, 'type.googleapis.com/google.rpc.ErrorInfo');
  assert.equal(info.domain, 'data.twi');
  assert.equal(info.reason, 'ROW_NOT_FOUND');
  stub.close();
}

main(...process.argv.slice(2)).then(() => process.exit(0), (error) => {
  console.error(error);
  process.exit(1);
});
