// The API's description, drawn by Swagger UI from its package: ours are the theme, and what its markup lacks for screen
// readers.

const dark = matchMedia("(prefers-color-scheme: dark)");
const theme = () => document.documentElement.classList.toggle("dark-mode", dark.matches);

// Headings one below the other, without a level left out; what scrolls is reached by keyboard.
const LEVELS = { "h3.opblock-tag": 2, ".opblock-section-header h4": 3, ".opblock-body h4": 3, ".opblock-body h5": 4, "section.models h4": 2 };
const SCROLLS = ".opblock-body pre, .microlight";
const MEND_MS = 100; // Swagger UI draws piece by piece

function mend() {
  for (const [selector, level] of Object.entries(LEVELS)) {
    for (const heading of document.querySelectorAll(selector)) setAttribute(heading, "aria-level", level, "role", "heading");
  }
  const about = document.querySelector(".information-container");
  if (about) setAttribute(about, "role", "region", "aria-label", "About this API");
  for (const box of document.querySelectorAll(SCROLLS)) setAttribute(box, "tabindex", 0);
  for (const table of document.querySelectorAll(".responses-table")) {
    setAttribute(table, "aria-label", `Answers of ${table.id.replace(/_responses$/, "").replaceAll("_", " ")}`);
  }
  for (const field of document.querySelectorAll(".parameters :is(input, select, textarea):not([aria-label])")) {
    const name = field.closest("tr")?.dataset.paramName ?? field.closest("td")?.previousElementSibling?.textContent;
    setAttribute(field, "aria-label", name?.trim() || "value");
  }
}

function setAttribute(element, ...pairs) {
  for (let at = 0; at < pairs.length; at += 2) {
    if (element.getAttribute(pairs[at]) !== String(pairs[at + 1])) element.setAttribute(pairs[at], pairs[at + 1]);
  }
}

theme();
dark.addEventListener("change", theme);
let due = 0;
const soon = () => (due ||= setTimeout(() => ((due = 0), mend()), MEND_MS));
new MutationObserver(soon).observe(document.getElementById("api"), { childList: true, subtree: true });
// No deep links: Swagger UI puts them into buttons, where no keyboard reaches them.
SwaggerUIBundle({ url: "/openapi.json", dom_id: "#api", deepLinking: false });
