// What an operator does in incident.py: from the Overview to the cause, counting clicks and seconds.
import {mkdir} from 'node:fs/promises';
import {join} from 'node:path';
import {launch, scene, sees, settled, sleep, tab, text, until, visit} from './browser.mjs';

const WIDE = {width: 1280, height: 800};
const DRAWN_MS = 800; // a chart is drawn a frame after its data
const CAUSE = /answered 5\d\d/;

const browser = await launch();
const page = await tab(browser, {viewport: WIDE});
let clicks = 0;
const began = Date.now();
const say = (what) => console.log(`${what} (${clicks} clicks, ${((Date.now() - began) / 1000).toFixed(1)} s in the browser)`);

async function shot(name) {
  if (scene.shots) {
    await mkdir(scene.shots, {recursive: true});
    await settled(page);
    await sleep(DRAWN_MS);
    await page.screenshot({path: join(scene.shots, `incident-${name}.png`)});
  }
}

async function click(what, selector, wanted) {
  const link = await until(what, async () => (await page.evaluateHandle((where, words) => [...document.querySelectorAll(where)]
    .find((one) => one.textContent.includes(words)), selector, wanted)).asElement());
  clicks++;
  await link.click();
}

const parts = {
  async cause() {
    await visit(page, '/ui/');
    await sees(page, CAUSE);
    say(`Overview: ${(await text(page)).split('\n').find((line) => CAUSE.test(line))}`);
    await shot('overview');
    await click('the queue of orders', '.queues a[data-row]', 'orders');
    await settled(page);
    say('Queue orders: how many wait, how old the oldest is');
    await shot('queue');
    await click('its jobs', 'main a', 'waiting');
    await click('a job', '.jobs a[data-row]', 'order.place');
    await settled(page);
    await sees(page, 'accepted');
    say('Job: it waits, nothing has been charged');
    await shot('job');
  },
  async after() {
    await visit(page, '/ui/');
    await sees(page, 'All queues take work and have workers.');
    say('Overview: all queues take work');
    await shot('after');
  },
};

try {
  await parts[scene.part]();
} catch (error) {
  await shot('stuck');
  console.error(`${error.message}\n${(await text(page)).slice(0, 1500)}`);
  process.exitCode = 1;
} finally {
  await browser.close();
}
