"use strict";
window.ui = SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#ui",
  deepLinking: true,
  docExpansion: "none",
  defaultModelsExpandDepth: 0,
  filter: true,
  syntaxHighlight: { activated: false },
  // Swagger UI would ask a host of its own whether the document is valid.
  validatorUrl: null,
});
