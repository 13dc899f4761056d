// Signing in where keys are needed: a wrong key, a key that may only look, signing out.
import {accessible, ask, check, equal, press, scene, sees, tab, taken, until, visit} from './browser.mjs';

async function enter(page, key) {
  await page.$eval('#key', (field) => field.select());
  await page.type('#key', key);
  await page.keyboard.press('Enter');
}

export async function signing(browser) {
  const page = await tab(browser, {url: scene.open_url});
  await check('signing in: a wrong key is refused with a reason', async () => {
    await visit(page, '/ui/jobs');
    await accessible(page, 'sign-in');
    await enter(page, 'pen_nobody_0000');
    await page.waitForSelector('[role=alert]');
    await accessible(page, 'refused');
  });
  await check('signing in: a key that may only look sees, and cannot act', async () => {
    await enter(page, scene.view_key);
    await sees(page, 'demo.note', 'main');
    await visit(page, '/ui/');
    await sees(page, 'Out / s', 'main');
    equal(await page.$$eval('.queues button', (all) => all.every((one) => one.disabled)), true, 'every button is off');
    equal(await page.evaluate(() => document.cookie), '', 'the cookie is out of reach');
  });
  await check('signing out, and in with every scope', async () => {
    await (await until('sign out', () => page.$('.tools [aria-label^="Sign out"]'))).click();
    await page.waitForSelector('#key');
    await enter(page, scene.key);
    await sees(page, 'Out / s', 'main');
    await press(page, 'Pause default');
    await press(page, 'Cancel', 'dialog');
  });
  await check('a key is revoked: the page asks for another', async () => {
    await ask('revoke');
    await page.waitForSelector('#key');
  });
  await check('signing in: nothing broke a policy', () => equal(taken(), [], 'breaches'));
  await page.browserContext().close();
}
