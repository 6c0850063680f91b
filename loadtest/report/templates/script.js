"use strict";
// One moment for all charts: the slider has it, and pointing at a chart moves the slider.
(() => {
  const slider = document.getElementById("moment");
  if (!slider) return;
  const data = JSON.parse(document.getElementById("data").textContent);
  const readout = document.getElementById("readout");
  const cursors = [...document.querySelectorAll(".cursor")];
  const values = [...document.querySelectorAll(".legend .value")];
  const clock = (seconds) => {
    const whole = Math.round(seconds), rest = String(whole % 60).padStart(2, "0"), minutes = Math.floor(whole / 60);
    return minutes < 60 ? `${minutes}:${rest}`
      : `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, "0")}:${rest}`;
  };
  const phase = (moment) => {
    const found = data.phases.filter(([begin, end]) => begin <= moment && moment <= end).pop();
    return found ? found[2] : "between phases";
  };
  const valueAt = (line, moment) => {
    let low = 0, high = line.at.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (line.at[middle] <= moment) low = middle + 1; else high = middle;
    }
    return low > 0 && moment - line.at[low - 1] <= line.stale ? line.text[low - 1] : "–";
  };
  const show = (moment) => {
    const left = `${100 * moment / data.seconds}%`;
    for (const cursor of cursors) cursor.style.left = left;
    data.lines.forEach((line, number) => {
      const value = valueAt(line, moment), row = values[number].parentElement;
      values[number].textContent = value;
      // Of many lines only those are named that have a value then.
      row.hidden = value === "–" && row.parentElement.classList.contains("many");
    });
    const words = `${clock(moment)} · ${phase(moment)}`;
    readout.textContent = words;
    slider.setAttribute("aria-valuetext", words);
  };
  const point = (event) => {
    const box = event.currentTarget.getBoundingClientRect();
    const moment = Math.min(Math.max((event.clientX - box.left) / box.width, 0), 1) * data.seconds;
    slider.value = moment;
    show(moment);
  };
  slider.addEventListener("input", () => show(Number(slider.value)));
  for (const plot of document.querySelectorAll(".plot, .strip")) {
    plot.addEventListener("pointermove", point);
    plot.addEventListener("pointerdown", point);
  }
  for (const cursor of cursors) cursor.style.left = `${100 * data.rest / data.seconds}%`;
  document.documentElement.classList.add("live");
})();
