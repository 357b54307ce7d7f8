// Lints the Dockerfile that comes from the standard input; a line for each thing that is wrong.
'use strict';
const fs = require('node:fs');
const {createRequire} = require('node:module');
const {validate} = createRequire(require.resolve('../tools/package.json'))('dockerfile-utils');

for (const {range, message} of validate(fs.readFileSync(0, 'utf8'))) {
  console.log(`${range.start.line + 1}: ${message}`);
}
