// Pictures that are dropped, pasted or chosen, as { file, name }; a name has its folders.

// As hrnet predict takes them from folders.
const SUFFIXES =
  /\.(apng|avif|bmp|dib|gif|hei[cf]|jfif|jp2|jpe|jpe?g|p[bgnp]m|png|tiff?|webp)$/i;

/**
 * Call `add` with all pictures that come. `notice` gets "noPicturesInFolder" or
 * "noPictureToPaste" where none did.
 */
export function listen(add, notice) {
  const files = document.getElementById("files");
  const folder = document.getElementById("folder");
  // Some telephones know no folders.
  document.getElementById("choose-folder").hidden = folder.webkitdirectory === undefined;
  document.getElementById("choose-files").addEventListener("click", () => files.click());
  document.getElementById("choose-folder").addEventListener("click", () => folder.click());
  files.addEventListener("change", () => {
    add([...files.files].map((file) => ({ file, name: file.name })));
    files.value = ""; // so that the same may be chosen again
  });
  folder.addEventListener("change", () => {
    const named = [...folder.files].map((file) => ({ file, name: file.webkitRelativePath }));
    addFolder(named);
    folder.value = "";
  });

  let depth = 0; // drag events come from every element on the way
  const over = (inside) => document.body.classList.toggle("over", inside);
  addEventListener("dragenter", (event) => {
    event.preventDefault();
    over(++depth > 0);
  });
  addEventListener("dragleave", () => over(--depth > 0));
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", async (event) => {
    event.preventDefault();
    over((depth = 0) > 0);
    // The items are gone after the first await.
    const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry());
    const dropped = entries.filter((entry) => entry !== null);
    if (dropped.length === 0) return;
    const single = [];
    const inFolders = [];
    for (const entry of dropped) {
      if (entry.isFile) single.push({ file: await fileOf(entry), name: entry.name });
      else inFolders.push(...(await filesBelow(entry)));
    }
    if (single.length > 0 || inFolders.some(isPicture)) {
      add([...single, ...inFolders.filter(isPicture)]);
    } else notice("noPicturesInFolder");
  });

  let pasted = 0;
  addEventListener("paste", (event) => {
    const images = [...event.clipboardData.files];
    if (images.length === 0) {
      if (!event.target.closest("input")) notice("noPictureToPaste");
      return;
    }
    event.preventDefault();
    // Browsers call every picture image.png.
    add(images.map((file) => ({ file, name: numbered(file.name, ++pasted) })));
  });

  function addFolder(named) {
    const pictures = named.filter(isPicture).sort(byName);
    if (pictures.length > 0) add(pictures);
    else notice("noPicturesInFolder");
  }
}

function isPicture({ name }) {
  return SUFFIXES.test(name);
}

function byName(one, other) {
  return one.name < other.name ? -1 : 1;
}

function numbered(name, number) {
  return name.replace(/(\.\w+)?$/, `-${number}$1`);
}

function fileOf(entry) {
  return new Promise((resolve, reject) => entry.file(resolve, reject));
}

async function filesBelow(folder) {
  const reader = folder.createReader();
  const found = [];
  for (;;) {
    // A reader gives a part of the entries at a time, at the end none.
    const part = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (part.length === 0) break;
    for (const entry of part) {
      if (entry.isDirectory) found.push(...(await filesBelow(entry)));
      else found.push({ file: await fileOf(entry), name: entry.fullPath.replace(/^\//, "") });
    }
  }
  return found.sort(byName);
}
