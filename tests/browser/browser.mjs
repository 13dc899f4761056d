// Chromium, and what the checks have in common: conditions with a deadline, accessibility, breaches of the security policy.
import {readFileSync} from 'node:fs';
import {createRequire} from 'node:module';
import {createInterface} from 'node:readline';
import puppeteer from 'puppeteer-core';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const AXE_TAGS = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];
const WAIT_MS = 40_000, STEP_MS = 50;

export const scene = JSON.parse(process.env.SCENE);
export const DESK = {width: 1440, height: 900}, PHONE = {width: 390, height: 844, isMobile: true, hasTouch: true};

export const failures = [];
const breaches = [];
let pages = 0;

export const sleep = (ms) => new Promise((then) => setTimeout(then, ms));

export async function until(what, test) {
  const deadline = Date.now() + WAIT_MS;
  for (;;) {
    const value = await test();
    if (value) {
      return value;
    }
    if (Date.now() > deadline) {
      throw new Error(`never: ${what}`);
    }
    await sleep(STEP_MS);
  }
}

export const equal = (said, wanted, what) => {
  if (JSON.stringify(said) !== JSON.stringify(wanted)) {
    throw new Error(`${what}: ${JSON.stringify(said)}, wanted ${JSON.stringify(wanted)}`);
  }
};

/** One check; what it throws is a failure, and the next goes on. */
export async function check(name, test) {
  const began = Date.now();
  try {
    await test();
    console.log(`ok      ${((Date.now() - began) / 1000).toFixed(1).padStart(5)} s  ${name}`);
  } catch (error) {
    failures.push(name);
    console.log(`FAILED  ${((Date.now() - began) / 1000).toFixed(1).padStart(5)} s  ${name}: ${error.message}`);
  }
}

export const launch = () => puppeteer.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', headless: true, protocolTimeout: 60_000,
  args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-proxy-server', '--hide-scrollbars', '--lang=en'],
});

/** A page that notes breaches of its security policy, errors, and dialogs that a script in a payload would open. */
export async function tab(browser, {url = scene.url, viewport = DESK} = {}) {
  const context = await browser.createBrowserContext();
  const page = await context.newPage();
  const name = `tab ${++pages}`;
  await page.setViewport(viewport);
  await page.emulateMediaFeatures([{name: 'prefers-reduced-motion', value: 'reduce'}, {name: 'prefers-color-scheme', value: 'light'}]);
  await page.exposeFunction('breach', (text) => breaches.push(`${name}: ${text}`));
  await page.evaluateOnNewDocument(() => document.addEventListener('securitypolicyviolation',
    (event) => globalThis.breach(`${event.violatedDirective} ${event.blockedURI} at ${location.pathname}`)));
  page.on('pageerror', (error) => breaches.push(`${name}: ${error.message}`));
  page.on('dialog', (dialog) => (breaches.push(`${name}: a dialog, ${dialog.message()}`), dialog.dismiss()));
  page.base = url;
  return page;
}

/** What was noted since the last time. */
export const taken = () => breaches.splice(0);

export const visit = async (page, path) => {
  await page.goto(page.base + path, {waitUntil: 'domcontentloaded'});
  await page.waitForSelector('h1');
};

/** Within the page, as a click on a link does. */
export const go = async (page, path) => {
  await page.evaluate((to) => {
    const a = document.createElement('a');
    a.href = to;
    document.body.append(a);
    a.click();
    a.remove();
  }, path);
  await page.waitForFunction((to) => location.pathname + location.search === to, {}, path);
};

export const text = (page, selector = 'main') => page.$eval(selector, (element) => element.innerText).catch(() => '');

export async function sees(page, wanted, selector = 'body') {
  let said = '';
  try {
    await until('it says so', async () => {
      said = await text(page, selector);
      return wanted instanceof RegExp ? wanted.test(said) : said.includes(wanted);
    });
  } catch {
    throw new Error(`${selector} never says ${wanted}, but ${said.slice(0, 600)}`);
  }
}

/** No request is on its way, and nothing says that it loads. */
export const settled = (page) => until('the page has loaded', () => page.evaluate(() => !document.querySelector('.loading')));

export async function accessible(page, what) {
  if (!await page.evaluate(() => Boolean(globalThis.axe))) {
    await page.evaluate(AXE);
  }
  const found = await page.evaluate(async (tags) => (await globalThis.axe.run(document, {runOnly: tags, resultTypes: ['violations']})).violations
    .map(({id, nodes}) => `${id} (${nodes.length}) ${nodes[0].html.slice(0, 200)}`), AXE_TAGS);
  equal(found, [], `axe, ${what}`);
}

export const fits = async (page, what) => {
  const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  if (over > 0) {
    throw new Error(`${what} is ${over} px wider than the screen`);
  }
};

/** The button of a name (its label or text), within a selector. */
export const button = (page, name, within = 'body') => until(`a button “${name}”`, async () => {
  const found = await page.evaluateHandle((wanted, where) => [...document.querySelectorAll(`${where} button, ${where} a.button`)]
    .find((one) => (one.ariaLabel ?? one.textContent).trim() === wanted && !one.disabled), name, within);
  return found.asElement();
});

export const press = async (page, name, within) => (await button(page, name, within)).click();

/** The dialog's button by mouse; it must then be gone. */
export async function confirm(page, name) {
  await press(page, name, 'dialog');
  await until('the dialog closes', () => page.evaluate(() => !document.querySelector('dialog')));
}

export const api = async (method, path, body) => {
  const answer = await fetch(scene.url + path, {method, headers: body ? {'Content-Type': 'application/json'} : {}, body: body && JSON.stringify(body)});
  return {status: answer.status, body: await answer.json().catch(() => null)};
};

const answers = createInterface({input: process.stdin})[Symbol.asyncIterator]();

/** Has the stack's owner do something. */
export async function ask(what) {
  console.log(JSON.stringify({do: what}));
  await answers.next();
}

/** The one process of the queue default, which stays one, and a job that it runs for a while. */
export async function busyProcess() {
  await api('PUT', '/v1/scale/default', {workers: 1, reason: 'a test'});
  const here = async () => (await api('GET', '/v1/workers')).body.items.filter((one) => one.queue === 'default' && one.consumer && !one.draining && !one.quarantine);
  const [process] = await until('one process', async () => {
    const all = await here();
    return all.length === 1 && all;
  });
  const job = (await api('POST', '/v1/jobs', {type: 'demo.sleep', payload: {ms: 20_000}})).body.id;
  await until('it runs', async () => (await api('GET', `/v1/workers/${encodeURIComponent(process.process)}/jobs`)).body.items?.some((one) => one.id === job));
  const is = async (wanted) => (await here()).some((one) => one.process === process.process && one.quiet === wanted);
  return {name: process.process, consumer: process.consumer, job, is, others: async () => (await here()).filter((one) => one.consumer !== process.consumer)};
}
