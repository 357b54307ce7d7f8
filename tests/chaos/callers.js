// Calls a method again and again, as often as CALLS_PER_SECOND says, until SIGTERM. Prints a line of JSON:
// how many calls were `ok`, and the errors of the `others`.
// usage: node callers.js ADDRESSES METHOD HEX CALLS_PER_SECOND SERVICE_CONFIG
'use strict';
const fs = require('node:fs');
const {createRequire} = require('node:module');
const grpc = createRequire(require.resolve('../tools/package.json'))('@grpc/grpc-js');

const [addresses, method, hex, rate, config] = process.argv.slice(2);
const client = new grpc.Client(addresses, grpc.credentials.createInsecure(),
                               {'grpc.service_config': fs.readFileSync(config, 'utf8')});
const bytes = (buffer) => buffer;
const request = Buffer.from(hex, 'hex');
const told = {ok: 0, others: []};
let underWay = 0;
let ending = false;

function end() {
  if (!ending || underWay > 0) return;
  console.log(JSON.stringify(told));
  client.close();
}

const timer = setInterval(() => {
  ++underWay;
  client.makeUnaryRequest(method, bytes, bytes, request, {deadline: Date.now() + 10000}, (error) => {
    --underWay;
    if (error) told.others.push(error.message);
    else ++told.ok;
    end();
  });
}, 1000 / Number(rate));

process.on('SIGTERM', () => {
  clearInterval(timer);
  ending = true;
  end();
});
