// docs/screenshots/: small PNGs of the main pages in light, dark and on a phone.
import {mkdir} from 'node:fs/promises';
import {join} from 'node:path';
import {api, ask, busyProcess, check, DESK, PHONE, press, scene, settled, sleep, tab, visit} from './browser.mjs';
import {addresses} from './pages.mjs';

const WIDE = {width: 1280, height: 800};
const LOOKS = [['light', WIDE, ['overview', 'queue', 'jobs', 'job', 'group', 'order', 'workers']], ['dark', WIDE, ['overview', 'queue', 'dead']],
  ['phone', {width: PHONE.width, height: PHONE.height}, ['overview', 'dead', 'job', 'workers']]];
const DRAWN_MS = 800; // a chart is drawn a frame after its data

export async function screenshots(browser) {
  await mkdir(scene.shots, {recursive: true});
  const all = await addresses();
  const named = {overview: '/ui/', queue: '/ui/queues/orders', jobs: '/ui/jobs', job: `/ui/jobs/${scene.dead[1]}`, dead: '/ui/dead', workers: '/ui/workers',
    group: all.find(([path]) => path.startsWith('/ui/dead/group'))[0], order: `/ui/orders/${scene.order}`};
  await ask('liven');
  const busy = await busyProcess();
  const page = await tab(browser, {viewport: DESK});
  for (const [look, viewport, shown] of LOOKS) {
    await page.emulateMediaFeatures([{name: 'prefers-reduced-motion', value: 'reduce'}, {name: 'prefers-color-scheme', value: look === 'dark' ? 'dark' : 'light'}]);
    await page.setViewport(viewport);
    for (const name of shown) {
      await check(`screenshot ${name}-${look}`, async () => {
        await visit(page, named[name]);
        await settled(page);
        if (name === 'workers') { // one process opened
          await press(page, busy.name);
          await settled(page);
          await page.evaluate(() => document.activeElement.scrollIntoView({block: 'center'}));
        }
        await sleep(DRAWN_MS);
        await page.screenshot({path: join(scene.shots, `${name}-${look}.png`), optimizeForSpeed: false});
      });
    }
  }
  await page.browserContext().close();
  await api('PUT', '/v1/scale/default', {workers: 'auto'});
  await ask('calm');
}
