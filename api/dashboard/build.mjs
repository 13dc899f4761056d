// Bundles src/ into dist/, which is committed so that the C build needs no Node.
//   node build.mjs           writes dist/
//   node build.mjs --check   says whether dist/ is what src/ gives, and writes nothing
import {createHash} from 'node:crypto';
import {mkdir, readFile, readdir, rm, writeFile} from 'node:fs/promises';
import {dirname, join} from 'node:path';
import {fileURLToPath} from 'node:url';
import {brotliCompressSync, brotliDecompressSync, constants, gunzipSync, gzipSync} from 'node:zlib';
import {build} from 'esbuild';

const HERE = dirname(fileURLToPath(import.meta.url));
const DIST = join(HERE, 'dist');
const FIRST_VIEW_MAX = 45_000; // bytes over the wire, compressed by brotli

async function bundle() {
  const made = await build({
    absWorkingDir: HERE,
    entryPoints: ['src/main.js', 'src/style.css'],
    outdir: 'dist/assets',
    entryNames: '[name].[hash]',
    chunkNames: '[name].[hash]',
    bundle: true,
    splitting: true,
    format: 'esm',
    target: ['es2022', 'chrome123', 'firefox120', 'safari17.5'],
    minify: true,
    legalComments: 'none',
    charset: 'utf8',
    write: false,
    logLevel: 'warning',
  });
  return made.outputFiles.map((file) => [`assets/${file.path.split('/').pop()}`, Buffer.from(file.contents)]);
}

async function page(files) {
  const named = (start, end) => files.map(([name]) => name).find((name) => name.startsWith(start) && name.endsWith(end));
  const text = await readFile(join(HERE, 'src/index.html'), 'utf8');
  const sprite = (await readFile(join(HERE, 'src/icons.svg'), 'utf8')).replace(/\n\s*/g, '');
  return text
    .replace('%STYLE%', named('assets/style.', '.css'))
    .replace('%SCRIPT%', named('assets/main.', '.js'))
    .replace('%ICON%', named('assets/favicon.', '.svg'))
    .replace('%SPRITE%', sprite);
}

async function make() {
  const icon = await readFile(join(HERE, 'src/favicon.svg'));
  const hash = createHash('sha256').update(icon).digest('hex').slice(0, 8).toUpperCase();
  const files = [...(await bundle()), [`assets/favicon.${hash}.svg`, icon]];
  files.push(['index.html', Buffer.from(await page(files))]);
  return new Map(files.sort());
}

const brotli = (body) => brotliCompressSync(body, {params: {[constants.BROTLI_PARAM_SIZE_HINT]: body.length}});

async function write(files) {
  await rm(DIST, {recursive: true, force: true});
  await mkdir(join(DIST, 'assets'), {recursive: true});
  for (const [name, body] of files) {
    await writeFile(join(DIST, name), body);
    await writeFile(join(DIST, `${name}.gz`), gzipSync(body, {level: 9}));
    await writeFile(join(DIST, `${name}.br`), brotli(body));
  }
}

/** Bytes are compared as a browser would see them: compressors may differ. */
async function compare(files) {
  const there = (await readdir(DIST, {recursive: true, withFileTypes: true}))
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(DIST.length + 1));
  const wanted = [...files.keys()].flatMap((name) => [name, `${name}.gz`, `${name}.br`]);
  const wrong = there.filter((name) => !wanted.includes(name)).map((name) => `${name} is not made of src/`);
  for (const name of wanted) {
    const body = await readFile(join(DIST, name)).catch(() => null);
    const plain = body && (name.endsWith('.gz') ? gunzipSync(body) : name.endsWith('.br') ? brotliDecompressSync(body) : body);
    if (!plain?.equals(files.get(name.replace(/\.(gz|br)$/, '')))) {
      wrong.push(`${name} is ${plain ? 'stale' : 'missing'}`);
    }
  }
  return wrong;
}

function sizes(files) {
  const first = [...files].filter(([name]) => !name.includes('/chart.'));
  const wire = first.reduce((sum, [, body]) => sum + brotli(body).length, 0);
  console.log(`first view: ${wire} bytes over the wire, at most ${FIRST_VIEW_MAX}`);
  return wire <= FIRST_VIEW_MAX ? [] : ['the first view is too large'];
}

const files = await make();
const wrong = process.argv.includes('--check') ? await compare(files) : (await write(files), []);
wrong.push(...sizes(files));
for (const line of wrong) {
  console.error(`dist: ${line}${line.includes('large') ? '' : '; run node api/dashboard/build.mjs'}`);
}
process.exitCode = wrong.length > 0 ? 1 : 0;
