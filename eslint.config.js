// What eslint asks of the page's scripts. Layout is prettier's business.

import js from "@eslint/js";
import globals from "globals";

const LIMITS = {
  "max-lines": ["error", { max: 300, skipComments: true }],
  "max-params": ["error", 4],
};

export default [
  js.configs.recommended,
  {
    languageOptions: { globals: globals.browser },
    rules: {
      ...LIMITS,
      eqeqeq: "error",
      "no-implicit-globals": "error",
      "no-shadow": "error",
      "no-undef": "error",
      "no-unused-vars": "error",
      "no-use-before-define": ["error", { functions: false, classes: false, variables: false }],
      "no-var": "error",
      "object-shorthand": "error",
      "prefer-const": "error",
      "prefer-template": "error",
    },
  },
];
