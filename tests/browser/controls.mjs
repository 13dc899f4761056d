// The instruments are tried on planted faults first: one that has gone blind fails as well.
import {accessible, check, equal, fits, tab, taken, until, visit} from './browser.mjs';

const throws = async (test) => {
  try {
    await test();
  } catch {
    return true;
  }
  return false;
};

export async function controls(browser) {
  const page = await tab(browser);
  await visit(page, '/ui/settings');
  await check('a string given to innerHTML is refused and noted', async () => {
    const refused = await page.evaluate(() => {
      try {
        document.body.lastElementChild.innerHTML = '<b>x</b>';
      } catch (error) {
        return error.name;
      }
      return 'taken';
    });
    await until('the breach is noted', () => taken().some((line) => line.includes('require-trusted-types-for')));
    if (refused !== 'TypeError') {
      throw new Error(refused);
    }
  });
  await check('axe and the measure of width find what is planted', async () => {
    await page.evaluate(() => {
      const image = document.createElement('img');
      image.src = 'data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAA=';
      image.style.width = '5000px';
      document.querySelector('main').append(image);
    });
    equal([await throws(() => accessible(page, 'planted')), await throws(() => fits(page, 'planted'))], [true, true], 'found');
  });
  await page.browserContext().close();
  taken();
}
