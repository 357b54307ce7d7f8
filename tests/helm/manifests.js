// Holds manifests against what Kubernetes and the Prometheus operator take: every field there is, of its
// type, and none missing. Reads a JSON list of them from the standard input; a line for each mistake.
'use strict';
const path = require('node:path');
const {createRequire} = require('node:module');
const fs = require('node:fs');
const tools = createRequire(require.resolve('../tools/package.json'));

// The official client's models know every field, but not which of them must be there.
const MODELS = path.join(path.dirname(require.resolve('../tools/package.json')),
    'node_modules/@kubernetes/client-node/dist/gen/models/all.js');
const FREE = new Set(['any', 'object', 'IntOrString', 'Date', 'V1MicroTime']);
const GROUPS = new Set(['', 'apps', 'autoscaling', 'batch', 'networking.k8s.io', 'policy']);
const OPERATOR = 'monitoring.coreos.com/v1';

const mistakes = [];

/** Looks for fields that a model does not have, and for values of other types. */
function walk(models, value, type, at) {
  if (value === null || FREE.has(type)) return;
  const list = /^Array<(.+)>$/.exec(type);
  const map = /^\{ \[key: string\]: (.+); \}$/.exec(type);
  const is = Array.isArray(value) ? 'list' : typeof value;
  if (list) {
    if (is !== 'list') mistakes.push(`${at}: is no list`);
    else value.forEach((item, i) => walk(models, item, list[1], `${at}[${i}]`));
  } else if (['string', 'number', 'boolean'].includes(type)) {
    if (is !== type) mistakes.push(`${at}: ${JSON.stringify(value)} is no ${type}`);
  } else if (is !== 'object') {
    mistakes.push(`${at}: is no object`);
  } else if (map) {
    for (const [key, item] of Object.entries(value)) walk(models, item, map[1], `${at}.${key}`);
  } else {
    const fields = new Map(models[type].getAttributeTypeMap().map((f) => [f.baseName, f.type]));
    for (const [key, item] of Object.entries(value)) {
      if (fields.has(key)) walk(models, item, fields.get(key), `${at}.${key}`);
      else mistakes.push(`${at}: there is no field ${key}`);
    }
  }
}

async function main() {
  const models = await import(MODELS);
  const manifests = JSON.parse(fs.readFileSync(0, 'utf8'));
  for (const manifest of manifests) {
    const at = `${manifest.kind} ${manifest.metadata?.name}`;
    const [version, group = ''] = manifest.apiVersion.split('/').reverse();
    const operator = manifest.apiVersion === OPERATOR;
    const type = version[0].toUpperCase() + version.slice(1) + manifest.kind;
    if (!operator && !(GROUPS.has(group) && models[type])) {
      mistakes.push(`${at}: ${manifest.apiVersion} is not known here`);
      continue;
    }
    if (!operator) walk(models, manifest, type, at);
    const library = operator ? '@kubernetes-models/prometheus-operator' : 'kubernetes-models';
    const Model = tools(`${library}/${manifest.apiVersion}`)[manifest.kind];
    try {
      new Model(manifest).validate();
    } catch (error) {
      for (const {instancePath, message} of error.errors ?? [error]) {
        mistakes.push(`${at}${(instancePath ?? '').replaceAll('/', '.')}: ${message}`);
      }
    }
  }
  process.stdout.write(mistakes.map((line) => line + '\n').join(''));
  console.error(`${manifests.length} looked at`);
  process.exitCode = mistakes.length ? 1 : 0;
}

main();
