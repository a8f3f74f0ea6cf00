// Until a person chooses light or dark, the page follows the system; Chainlit's own default can only be one of the two.
localStorage.getItem("vite-ui-theme") ?? localStorage.setItem("vite-ui-theme", "system");
