// The parts of a page, with the types that they have.

/**
 * What the page must have; without it nothing here can work.
 * @template {Element} T
 * @param {string} selector
 * @param {new () => T} type
 * @param {ParentNode} [within]
 * @returns {T}
 */
export function part(selector, type, within = document) {
  const found = within.querySelector(selector);
  if (found instanceof type) return found;
  throw new Error(`no ${type.name} ${selector}`);
}

/**
 * What only some pages have.
 * @template {Element} T
 * @param {string} selector
 * @param {new () => T} type
 * @param {ParentNode} [within]
 * @returns {T | undefined}
 */
export function partIfAny(selector, type, within = document) {
  const found = within.querySelector(selector);
  return found instanceof type ? found : undefined;
}

/**
 * All of them.
 * @template {Element} T
 * @param {string} selector
 * @param {new () => T} type
 * @param {ParentNode} [within]
 * @returns {T[]}
 */
export function parts(selector, type, within = document) {
  return [...within.querySelectorAll(selector)].filter(
    /** @returns {found is T} */ (found) => found instanceof type,
  );
}

/**
 * What was clicked or typed into, or what is around it.
 * @template {Element} T
 * @param {Event} event
 * @param {string} selector
 * @param {new () => T} type
 * @returns {T | undefined}
 */
export function around(event, selector, type) {
  const found = event.target instanceof Element && event.target.closest(selector);
  return found instanceof type ? found : undefined;
}

/**
 * A control of a form, by its name.
 * @template {Element} T
 * @param {HTMLFormElement} form
 * @param {string} name
 * @param {new () => T} type
 * @returns {T}
 */
export function control(form, name, type) {
  const found = form.elements.namedItem(name);
  if (found instanceof type) return found;
  throw new Error(`no ${type.name} called ${name}`);
}

/** @param {string} path */
export function socketTo(path) {
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  return new WebSocket(`${scheme}//${location.host}${path}`);
}
