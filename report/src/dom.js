// Elements. Whatever comes from the data becomes a text node or an attribute's value, never markup.

const svgTags = new Set(['svg', 'polyline', 'circle', 'rect']);

export function element(tag, attributes = {}, ...children) {
    const node = svgTags.has(tag) ? document.createElementNS('http://www.w3.org/2000/svg', tag) : document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
        if (value === undefined || value === null || value === false) continue;
        if (name === 'onclick') node.addEventListener('click', value);
        else node.setAttribute(name, value === true ? '' : value);
    }
    node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
    return node;
}

// A name that somebody typed: of any script and direction, perhaps with control characters.
export const printable = (text) => String(text).replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]+/g, ' ').trim();

export const foreign = (text) => element('bdi', { dir: 'auto' }, printable(text) || '(empty)');
