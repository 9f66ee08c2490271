"use strict";
(() => {
  const style = () => getComputedStyle(document.documentElement);
  const color = (name) => style().getPropertyValue(name).trim();
  const plots = [];
  const put = (model, values) => {
    for (const [name, value] of Object.entries(values)) if (name in model.properties) model[name] = value;
  };

  const paint = (plot) => {
    const [ink, soft, line, card] = ["--ink", "--soft", "--line", "--card"].map(color);
    put(plot, { background_fill_color: card, border_fill_color: card, outline_line_color: null });
    for (const part of [...plot.left, ...plot.below, ...plot.center]) {
      if (part.type.endsWith("Axis")) {
        put(part, { axis_label_text_color: soft, major_label_text_color: soft, axis_line_color: soft,
          major_tick_line_color: soft, minor_tick_line_color: line });
      } else if (part.type === "Grid") {
        put(part, { grid_line_color: line });
      } else if (part.type === "Whisker") {
        const own = tone(part);
        put(part, { line_color: own });
        for (const head of [part.upper_head, part.lower_head]) put(head, { line_color: { value: own } });
      } else if (part.type === "Span") {
        put(part, { line_color: tone(part) });
      }
    }
    for (const drawn of plot.renderers) {
      const own = tone(drawn) ?? tone(drawn.glyph);
      if (!own || !drawn.glyph) continue;
      put(drawn.glyph, { line_color: own });
      put(drawn.glyph, { fill_color: own });
    }
  };
  const tone = (model) => {
    const tag = model.tags[0];
    return tag === "floor" ? color("--soft") : tag ? color(`--${tag}`) : null;
  };
  const repaint = () => plots.forEach(paint);

  const across = (name) => {
    const titles = { step: "step", images: "images", time: "hours of work" };
    for (const plot of plots) {
      plot.below[0].axis_label = titles[name];
      for (const drawn of plot.renderers) if (drawn.glyph) drawn.glyph.x = { field: name };
      for (const part of plot.center) if (part.type === "Whisker") part.base = { field: name };
      for (const drawn of plot.renderers) drawn.data_source.change.emit();
    }
    window_of("1");
  };
  const window_of = (part) => {
    for (const plot of plots) {
      const name = plot.renderers[0].glyph.x.field;
      let high = -Infinity, low = Infinity;
      for (const drawn of plot.renderers) {
        for (const value of drawn.data_source.data[name]) { high = Math.max(high, value); low = Math.min(low, value); }
      }
      const from = part === "1" ? low : high - (high - low) * Number(part);
      const room = 0.02 * (high - from) || 1;
      put(plot.x_range, { start: from - room, end: high + room });
    }
  };
  const choices = { axis: across, window: window_of };
  for (const button of document.querySelectorAll("button[data-choice]")) {
    button.addEventListener("click", () => {
      const { choice, value } = button.dataset;
      for (const other of document.querySelectorAll(`button[data-choice="${choice}"]`)) {
        other.setAttribute("aria-pressed", String(other === button));
      }
      if (choice === "axis") {
        for (const other of document.querySelectorAll('button[data-choice="window"]')) {
          other.setAttribute("aria-pressed", String(other.dataset.value === "1"));
        }
      }
      choices[choice](value);
    });
  }

  for (const slider of document.querySelectorAll("input[data-frames]")) {
    const place = document.getElementById(slider.dataset.frames);
    const frames = [...place.querySelectorAll("[data-step]")];
    const told = place.querySelector("[data-told]");
    const output = place.querySelector("output");
    const show = () => {
      frames.forEach((frame, i) => { frame.hidden = i !== Number(slider.value); });
      const now = frames[Number(slider.value)];
      output.textContent = `step ${now.dataset.step}`;
      slider.setAttribute("aria-valuetext", `step ${now.dataset.step}`);
      if (told) told.textContent = now.alt;
    };
    slider.addEventListener("input", show);
    show();
  }
  for (const slider of document.querySelectorAll("input[data-opacity]")) {
    slider.addEventListener("input", () => {
      document.documentElement.style.setProperty("--opacity", String(slider.value / 100));
    });
  }

  const draw = async () => {
    const items = JSON.parse(document.getElementById("charts-data").textContent);
    const coarse = matchMedia("(pointer: coarse)").matches;
    for (const item of items) {
      const views = await Bokeh.embed.embed_item(item);
      for (const view of views.roots) {
        const plot = view.model;
        if (plot.type !== "Figure") continue; // Bokeh adds a root of its own for notifications
        if (coarse) plot.toolbar.active_drag = null;
        plots.push(plot);
        paint(plot);
      }
    }
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);
    addEventListener("beforeprint", repaint);
    matchMedia("print").addEventListener("change", repaint);
    document.documentElement.dataset.drawn = String(plots.length);
  };
  draw();
})();
