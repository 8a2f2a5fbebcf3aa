"use strict";
// Figures that tell the values at a point of a curve, to the mouse and to the arrow keys. The SVG holds both: figures.py.
(() => {
  const NEAR = 60; // px: further from every curve, the mouse means none
  function held(image) {
    const [kind, data] = image.src.split(",", 2);
    if (!kind.startsWith("data:image/svg+xml;base64")) return null;
    const found = /<metadata id="curves">(.*?)<\/metadata>/.exec(atob(data));
    if (!found) return null;
    const text = document.createElement("textarea"); // which makes "&amp;" an ampersand, and runs nothing
    text.innerHTML = found[1];
    return JSON.parse(text.value);
  }
  const made = (name) => Object.assign(document.createElement("span"), { className: name });
  const fact = (name, value) => `${name.replaceAll("\n", " ")}: ${value.replaceAll("-", "\u2212")}`;
  function said(curve, [, , x, y, ...more]) {
    const lines = [fact(curve.y || "value", y), fact(curve.x || "at", x)];
    more.forEach((value, i) => value && lines.push(fact(curve.more[i], value)));
    return [curve.panel ? `${curve.name}, ${curve.panel.split("\n")[0]}` : curve.name, ...lines];
  }
  function readable(image, curves) {
    const box = made("curves"), reader = made("reader"), dot = made("dot"), tip = made("tip");
    let line = 0, point = 0;
    image.replaceWith(box);
    reader.append(dot, tip);
    box.append(image, reader);
    reader.tabIndex = 0;
    reader.setAttribute("role", "slider");
    reader.setAttribute("aria-label", `Points of the curves. ${image.alt}`);
    function show(visible = true) {
      const curve = curves[line], [left, top] = curve.points[point], told = said(curve, curve.points[point]);
      reader.setAttribute("aria-valuemin", 1);
      reader.setAttribute("aria-valuemax", curve.points.length);
      reader.setAttribute("aria-valuenow", point + 1);
      reader.setAttribute("aria-valuetext", told.join("; "));
      reader.classList.toggle("on", visible);
      dot.style.left = `${100 * left}%`;
      dot.style.top = `${100 * top}%`;
      tip.textContent = told.join("\n");
      // Towards the middle, so that it covers no more of the curve than it must, and stays in the window.
      tip.style.left = left < 0.5 ? `calc(${100 * left}% + 12px)` : "auto";
      tip.style.right = left < 0.5 ? "auto" : `calc(${100 * (1 - left)}% + 12px)`;
      tip.style.top = top < 0.5 ? `calc(${100 * top}% + 12px)` : "auto";
      tip.style.bottom = top < 0.5 ? "auto" : `calc(${100 * (1 - top)}% + 12px)`;
    }
    const nearest = (points, distance) => points.reduce((best, each, i) => (distance(each) < distance(points[best]) ? i : best), 0);
    function go(to) {
      point = Math.max(0, Math.min(curves[line].points.length - 1, to));
      show();
    }
    function turn(by) {
      const [left] = curves[line].points[point];
      line = (line + by + curves.length) % curves.length;
      go(nearest(curves[line].points, (each) => Math.abs(each[0] - left)));
    }
    const keys = {
      ArrowRight: () => go(point + 1), ArrowLeft: () => go(point - 1), PageUp: () => go(point + 10), PageDown: () => go(point - 10),
      Home: () => go(0), End: () => go(Infinity), ArrowDown: () => turn(1), ArrowUp: () => turn(-1), Escape: () => show(false),
    };
    reader.addEventListener("keydown", (event) => {
      if (!keys[event.key] || event.ctrlKey || event.altKey || event.metaKey) return;
      event.preventDefault();
      keys[event.key]();
    });
    function follow(event) {
      const area = reader.getBoundingClientRect(), x = event.clientX - area.left, y = event.clientY - area.top;
      const away = ([left, top]) => Math.hypot(left * area.width - x, top * area.height - y);
      const found = curves.map(({ points }) => nearest(points, away));
      line = nearest(curves.map((curve, i) => curve.points[found[i]]), away);
      point = found[line];
      show(away(curves[line].points[point]) < NEAR);
    }
    for (const name of ["pointermove", "pointerdown"]) reader.addEventListener(name, follow);
    reader.addEventListener("pointerleave", () => show(false));
    reader.addEventListener("focus", () => reader.matches(":focus-visible") && show());
    reader.addEventListener("blur", () => show(false));
    show(false);
  }
  // After the first view, which needs none of it.
  setTimeout(() => {
    for (const image of document.querySelectorAll("figure img")) {
      const curves = (held(image) ?? []).filter((curve) => curve.points.length);
      if (curves.length) readable(image, curves);
    }
  });
})();
