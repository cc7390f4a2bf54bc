// The API's description, drawn by Swagger UI from its package: ours are the theme, and names where it has none.

const dark = matchMedia("(prefers-color-scheme: dark)");
const theme = () => document.documentElement.classList.toggle("dark-mode", dark.matches);

theme();
dark.addEventListener("change", theme);
SwaggerUIBundle({ url: "/openapi.json", dom_id: "#api", deepLinking: true });
