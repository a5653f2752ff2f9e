// Before any other script: from here on the page may load its own files and send nothing. A Space on
// Hugging Face hands large files on to a storage host of theirs, so there that is allowed as well.
(() => {
  const storage = location.hostname.endsWith(".hf.space")
    ? " https://*.hf.co https://*.huggingface.co"
    : "";
  const meta = document.createElement("meta");
  meta.httpEquiv = "Content-Security-Policy";
  meta.content = "{{policy}}".replace("connect-src", `connect-src${storage}`);
  document.head.append(meta);
})();
