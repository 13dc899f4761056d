// A line chart over time, by uPlot; loaded by the pages that have one.
import UPlot from 'uplot';

const WHOLE = Array.from({length: 10}, (_, power) => [1, 2, 5].map((n) => n * 10 ** power)).flat();

/** Draws into the element and follows its width. series: [{label, colour}] with colours as custom properties. whole: its values are counts. Returns {set(data), end()}. */
export function draw(element, series, data, {format, whole}) {
  const style = getComputedStyle(element);
  const colour = (name) => style.getPropertyValue(name).trim() && resolve(element, name);
  const axis = {stroke: colour('--muted'), grid: {stroke: colour('--line'), width: 1}, ticks: {show: false}, font: `11px ${style.fontFamily}`};
  const plot = new UPlot({
    width: element.clientWidth, height: 180, padding: [10, 8, 0, 0], cursor: {y: false}, legend: {live: true},
    axes: [{...axis, values: '{HH}:{mm}:{ss}', space: 80, size: 28}, {...axis, size: 56, ...(whole ? {incrs: WHOLE} : {}), values: (_, all) => all.map(format)}],
    scales: {y: {range: (_, low, high) => [0, Math.max(high, 1)]}},
    series: [{label: 'time', value: '{HH}:{mm}:{ss}'}, ...series.map(({label, colour: name}) => ({
      label, stroke: colour(name), width: 1.5, points: {show: false}, value: (_, value) => (value == null ? '–' : format(value)),
    }))],
  }, data, element);
  const watcher = new ResizeObserver(() => plot.setSize({width: element.clientWidth, height: 180}));
  watcher.observe(element);
  return {
    set: (next) => plot.setData(next),
    end: () => {
      watcher.disconnect();
      plot.destroy();
    },
  };
}

/** A canvas does not know custom properties nor light-dark(). */
function resolve(element, name) {
  const probe = document.createElement('i');
  probe.style.color = `var(${name})`;
  element.append(probe);
  const value = getComputedStyle(probe).color;
  probe.remove();
  return value;
}
