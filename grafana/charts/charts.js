// Draws every chart of the page with uPlot. What it shows is the JSON beside each plot; see page.py.
(() => {
  "use strict";
  const SECONDS = [[86400, "days"], [3600, "hours"], [60, "mins"], [1, "s"], [1e-3, "ms"], [1e-6, "µs"]];
  const SUFFIXES = { reqps: " req/s", cps: " /s", "suffix:x": "x" };
  const TIME_STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400];
  const LARGE_STEPS = [60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 21600, 43200, 86400, 172800, 432000, 864000];
  const SMALL_STEPS = [];
  for (let power = -6; power < 2; power++) for (const digit of [1, 2, 5]) SMALL_STEPS.push(digit * 10 ** power);
  const BYTE_STEPS = Array.from({ length: 50 }, (_, power) => 2 ** power);
  const FONT = "11px system-ui, sans-serif";
  const NOTHING = "–";

  const figure = (value) => Math.abs(value) >= 999.5
    ? Math.round(value).toLocaleString("en-US") : String(Number(value.toPrecision(3)));
  const text = (value, unit) => {
    if (unit === "percentunit") return `${figure(100 * value)}%`;
    if (unit === "s") {
      const [size, name] = SECONDS.find(([size]) => Math.abs(value) >= size) ?? [1, "s"];
      return `${figure(value / size)} ${name}`;
    }
    if (unit === "bytes") {
      const power = value >= 1 ? Math.min(Math.floor(Math.log2(value) / 10), 4) : 0;
      return `${figure(value / 1024 ** power)} ${["B", "KiB", "MiB", "GiB", "TiB"][power]}`;
    }
    return figure(value) + (SUFFIXES[unit] ?? "");
  };
  const two = (number) => String(number).padStart(2, "0");
  const clock = (at) => { const day = new Date(1000 * at); return `${two(day.getHours())}:${two(day.getMinutes())}`; };
  const elapsed = (at, begin) => {
    const seconds = Math.round(at - begin);
    return `${Math.floor(seconds / 60)}:${two(seconds % 60)}`;
  };

  const shade = (plot, name) => getComputedStyle(plot).getPropertyValue(`--chart-${name}`).trim();
  const translucent = (colour, share) => colour + two(Math.round(255 * share).toString(16));

  const stroked = (u, plot, colour, dash, draw) => {
    const { ctx } = u;
    ctx.save();
    ctx.globalAlpha = 1;
    ctx.strokeStyle = shade(plot, colour);
    ctx.lineWidth = devicePixelRatio;
    ctx.setLineDash(dash.map((length) => length * devicePixelRatio));
    ctx.beginPath();
    draw(ctx, u.bbox);
    ctx.stroke();
    ctx.restore();
  };
  const across = (u, plot, [value, colour]) => stroked(u, plot, colour, [8, 6], (ctx, box) => {
    const y = Math.round(u.valToPos(value, "y", true));
    ctx.moveTo(box.left, y);
    ctx.lineTo(box.left + box.width, y);
  });
  const upright = (u, plot, [at, colour]) => stroked(u, plot, colour, [3, 4], (ctx, box) => {
    const x = Math.round(u.valToPos(at, "x", true));
    ctx.moveTo(x, box.top);
    ctx.lineTo(x, box.top + box.height);
  });
  const shaded = (u, plot, [begin, end]) => {
    const [left, right] = [begin, end].map((at) => u.valToPos(at, "x", true));
    u.ctx.fillStyle = shade(plot, "shade");
    u.ctx.fillRect(left, u.bbox.top, right - left, u.bbox.height);
  };

  // Decades, thinned out where there are many.
  const decades = (least, greatest) => {
    const [from, to] = [least, greatest].map((value) => Math.round(Math.log10(value)));
    const step = Math.ceil((to - from + 1) / 6);
    const powers = [];
    for (let power = from; power <= to; power += step) powers.push(10 ** power);
    return powers;
  };
  const valueRange = (data) => {
    const values = data.lines.flatMap((line) => line.drawn).filter((value) => value !== null)
      .concat(data.targets.map(([value]) => value));
    if (data.logarithmic) {
      const positive = values.filter((value) => value > 0);
      if (!positive.length) return [0.1, 1];
      const from = Math.floor(Math.log10(Math.min(...positive)));
      return [10 ** from, 10 ** Math.max(Math.ceil(Math.log10(Math.max(...positive))), from + 1)];
    }
    const greatest = Math.max(...values, 0);
    const least = Math.min(...values, 0);
    return [least, data.maximum ?? (greatest > 0 ? greatest * 1.06 : 1)];
  };
  const isolated = (u, series, show) => {
    const values = u.data[series];
    const missing = (index) => values[index] === null || values[index] === undefined;
    const near = (index, step) => { while (values[index] === undefined && index in values) index += step; return index; };
    return show ? null : values.flatMap((value, index) =>
      !missing(index) && missing(near(index - 1, -1)) && missing(near(index + 1, 1)) ? [index] : []);
  };

  const axes = (plot, data, ticks) => {
    const common = {
      stroke: () => shade(plot, "faint"), font: FONT, grid: { stroke: () => shade(plot, "grid"), width: 1 },
      ticks: { show: false },
    };
    return [
      { ...common, grid: { show: false }, incrs: TIME_STEPS, space: 70, size: 26, gap: 6,
        values: (_, moments) => moments.map((at) => data.elapsed ? elapsed(at, data.elapsed_from) : clock(at)) },
      { ...common, size: 66, gap: 4, ...ticks },
    ];
  };
  const steps = (unit) => ({ bytes: BYTE_STEPS, s: SMALL_STEPS.concat(LARGE_STEPS) })[unit];

  // The first line is drawn last: where one of a stack is 0, it does not cover the line that it stands on.
  const reversed = (lines) => [...lines].reverse();

  const lineOptions = (plot, data) => {
    const range = valueRange(data);
    const bands = [];
    const place = (index) => data.lines.length - index;
    data.lines.forEach((line, index) => {
      if (!line.stacked) return;
      const below = data.lines.slice(0, index).findLastIndex((other) => other.stacked);
      if (below >= 0) bands.push({ series: [place(index), place(below)], fill: () => translucent(shade(plot, line.colour), 0.45) });
    });
    const incrs = steps(data.unit);
    const ticks = data.logarithmic ? { splits: () => decades(...range) } : incrs ? { incrs, space: 34 } : { space: 34 };
    return {
      scales: { x: { time: false, range: () => data.span }, y: { range: () => range, distr: data.logarithmic ? 3 : 1 } },
      axes: axes(plot, data, { ...ticks, values: (_, values) => values.map((value) => value === null ? "" : text(value, data.unit)) }),
      series: [{}, ...reversed(data.lines).map((line) => ({
        stroke: () => shade(plot, line.colour), width: 1.6, dash: line.dash.length ? line.dash : undefined,
        fill: line.stacked ? () => translucent(shade(plot, line.colour), 0.45) : undefined,
        points: { size: 4, fill: () => shade(plot, line.colour), filter: isolated, show: false },
      }))],
      bands,
      hooks: {
        drawClear: [(u) => data.shaded.forEach((stretch) => shaded(u, plot, stretch))],
        draw: [(u) => {
          data.targets.forEach((target) => across(u, plot, target));
          data.marks.forEach((mark) => upright(u, plot, mark));
        }],
      },
    };
  };

  const heatmapOptions = (plot, data) => {
    const most = Math.max(...data.rows.flatMap(([, points]) => points.map(([, value]) => value)));
    const names = data.rows.map(([bound]) => bound === null ? "above" : text(bound, data.unit));
    const each = Math.ceil(data.rows.length / Math.max(1, Math.floor(plot.clientHeight / 24)));
    const cells = (u) => data.rows.forEach(([, points], row) => points.forEach(([at, value], index) => {
      if (!(value > 0)) return;
      const [right, left] = [at, points[index - 1]?.[0] ?? at].map((moment) => u.valToPos(moment, "x", true));
      const [top, bottom] = [row + 1, row].map((place) => u.valToPos(place, "y", true));
      const width = Math.min(Math.max(right - left, 2), 12 * devicePixelRatio);
      u.ctx.fillStyle = translucent(shade(plot, data.colour), 0.15 + 0.85 * Math.sqrt(value / most));
      u.ctx.fillRect(right - width, top + 1, width, bottom - top - 1);
    }));
    return {
      scales: { x: { time: false, range: () => data.span }, y: { range: () => [0, data.rows.length] } },
      axes: axes(plot, data, {
        splits: () => names.map((_, row) => row + 0.5).filter((_, row) => row % each === 0),
        values: (_, places) => places.map((place) => names[Math.floor(place)]), grid: { show: false },
      }),
      series: [{}, { paths: () => null, points: { show: false } }],
      hooks: { draw: [cells] },
    };
  };

  const joined = (data) => {
    if (data.kind === "heatmap") {
      const moments = [...new Set(data.rows.flatMap(([, points]) => points.map(([at]) => at)))].sort((a, b) => a - b);
      return [moments, moments.map(() => 0)];
    }
    return uPlot.join(reversed(data.lines).map((line) => [line.at, line.drawn]), data.lines.map(() => [0, 1]));
  };

  const tell = (data, legend) => {
    const places = data.kind === "lines" ? [...legend.querySelectorAll("b")] : [];
    const resting = places.map((place) => place.textContent);
    const values = (data.lines ?? []).map((line) => new Map(line.at.map((at, index) => [at, (line.shown ?? line.drawn)[index]])));
    return (u) => places.forEach((place, index) => {
      const at = u.cursor.idx === null || u.cursor.idx === undefined ? null : u.data[0][u.cursor.idx];
      const value = at === null ? null : values[index].get(at) ?? null;
      place.textContent = at === null ? resting[index] : value === null ? NOTHING : text(value, data.unit);
    });
  };

  const plots = [];
  const draw = (figureElement) => {
    const plot = figureElement.querySelector(".plot");
    const data = JSON.parse(figureElement.querySelector('script[type="application/json"]').textContent);
    data.elapsed_from = data.span[0];
    const options = data.kind === "heatmap" ? heatmapOptions(plot, data) : lineOptions(plot, data);
    options.hooks.setCursor = [tell(data, figureElement.querySelector(".legend"))];
    const u = new uPlot({
      ...options, width: plot.clientWidth, height: plot.clientHeight, legend: { show: false },
      padding: [8, 22, 0, 0], cursor: { y: false, drag: { x: false, y: false }, sync: { key: data.group, setSeries: false } },
    }, joined(data), plot);
    plots.push(u);
    new ResizeObserver(() => u.setSize({ width: plot.clientWidth, height: plot.clientHeight })).observe(plot);
    plot.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (step === undefined) return;
      event.preventDefault();
      const last = u.data[0].length - 1;
      const index = Math.min(Math.max((u.cursor.idx ?? (step > 0 ? -1 : last + 1)) + step, 0), last);
      u.setCursor({ left: u.valToPos(u.data[0][index], "x"), top: plot.clientHeight / 2 });
    });
    plot.addEventListener("blur", () => u.setCursor({ left: -10, top: -10 }));
  };

  document.querySelectorAll("figure.chart").forEach(draw);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => plots.forEach((u) => u.redraw(false)));
  globalThis.recoupCharts = { text, plots };
})();
