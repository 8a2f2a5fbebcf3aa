"use strict";
(() => {
  const box = document.getElementById("slider");
  if (!box) return;
  const data = JSON.parse(document.getElementById("slider-data").textContent);
  const id = (name) => document.getElementById("slider-" + name);
  // Shares of melanomas from 1 in 1,000 to a half, about evenly spaced in their logarithm.
  const shares = [0.001, 0.002, 0.003, 0.005, 0.007, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.06, 0.08, 0.1, 0.12, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5];
  const number = (x, digits = 3) => x.toFixed(digits).replace("-", "\u2212");
  const whole = (x) => Math.round(x).toLocaleString("en");

  // The same formulas as evidence/deployment.py, predictive_values.
  const both = (at, name, k) => [at[name][k], at[name + "_low"][k], at[name + "_high"][k]];
  const rest = ([value, low, high]) => [1 - value, high === null ? null : 1 - high, low === null ? null : 1 - low];
  function ofRatio(a, b, prior) {
    const value = (prior * a[0]) / (prior * a[0] + b[0]);
    if (a[1] === null || b[1] === null) return [value];
    const [a0, aLow, aHigh] = a.map(Math.log), [b0, bLow, bHigh] = b.map(Math.log);
    let low = a0 === -Infinity ? -Infinity : a0 - b0 - Math.hypot(a0 - aLow, bHigh - b0);
    let high = b0 === -Infinity ? Infinity : a0 - b0 + Math.hypot(aHigh - a0, b0 - bLow);
    if (b0 === -Infinity) low = aLow - bHigh;
    if (a0 === -Infinity) high = aHigh - bLow;
    return [value, low, high].map((x, i) => (i ? 1 / (1 + Math.exp(-x) / prior) : x));
  }
  function show(name, [value, low, high]) {
    const cell = id(name);
    cell.textContent = Number.isNaN(value) || value === null ? "\u2013" : number(value);
    if (low === undefined || low === null || Number.isNaN(value)) return;
    const small = document.createElement("small");
    small.textContent = number(low) + "\u2013" + number(high);
    cell.append(small);
  }
  function update() {
    const at = data[id("part").value], k = Number(id("threshold").value), share = shares[Number(id("prevalence").value)];
    const sensitivity = both(at, "sensitivity", k), specificity = both(at, "specificity", k), odds = share / (1 - share);
    const percent = number(100 * share, share < 0.01 ? 1 : share === 0.015 ? 1 : 0) + " %";
    id("threshold-value").textContent = number(at.threshold[k]);
    id("prevalence-value").textContent = percent;
    id("threshold").setAttribute("aria-valuetext", number(at.threshold[k]));
    id("prevalence").setAttribute("aria-valuetext", percent);
    show("sensitivity", sensitivity);
    show("specificity", specificity);
    const unknown = sensitivity[0] === null || specificity[0] === null;
    show("ppv", unknown ? [null] : ofRatio(sensitivity, rest(specificity), odds));
    show("npv", unknown ? [null] : ofRatio(specificity, rest(sensitivity), 1 / odds));
    const counts = {
      found: share * sensitivity[0], missed: share * (1 - sensitivity[0]),
      alarms: (1 - share) * (1 - specificity[0]), spared: (1 - share) * specificity[0],
    };
    for (const [name, each] of Object.entries(counts)) id(name).textContent = unknown ? "\u2013" : whole(1000 * each);
  }

  const thresholds = Object.values(data)[0].threshold;
  const chosen = Number(box.dataset.point);
  id("threshold").max = thresholds.length - 1;
  id("threshold").value = thresholds.reduce((best, x, i) => (Math.abs(x - chosen) < Math.abs(thresholds[best] - chosen) ? i : best), 0);
  id("prevalence").max = shares.length - 1;
  id("prevalence").value = shares.indexOf(0.1);
  for (const name of ["part", "threshold", "prevalence"]) id(name).addEventListener("input", update);
  box.hidden = false;
  update();
})();
