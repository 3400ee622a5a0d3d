// Skeletons onto a canvas. Everybody has a colour; of it, the left side of the body is light with a
// dark outline and the right side is dark with a light one, so that both show on any picture.

const HUES = [255, 60, 150, 340, 205, 95, 305, 25]; // of OKLCH, neighbours far apart
const DARK = "rgb(0 0 0 / 0.8)";
const LIGHT = "rgb(255 255 255 / 0.95)";
export const UNLIKELY = 0.5; // joints of a smaller probability are rings, their limbs faint
const FAINT = 0.4;

/** CSS colours of one of several people. */
export function personColours(number) {
  const hue = HUES[number % HUES.length];
  return {
    left: `oklch(0.87 0.15 ${hue})`,
    middle: `oklch(0.74 0.17 ${hue})`,
    right: `oklch(0.52 0.19 ${hue})`,
  };
}

/** What a person's colour goes by: the track, where there is one. */
export function colourNumber(people, index) {
  return people[index].track_id ?? index;
}

/** How sure a joint is: its probability, or without that its score. */
export function sureness(person, joint) {
  return person.probability?.[joint] ?? person.keypoints[joint][2];
}

/** Where a joint is on a canvas; (0, 0) of a picture is the centre of its first pixel. */
export function place(person, joint, scale) {
  const [x, y] = person.keypoints[joint];
  return [(x + 0.5) * scale, (y + 0.5) * scale];
}

/**
 * Draw an answer's people.
 *
 * `scale` is canvas units a pixel of the picture, `selection` { person, joint } or null.
 */
export function drawPeople(context, answer, { scale, threshold, selection = null }) {
  const { people, skeleton } = answer;
  const sides = sidesOf(skeleton);
  const limbs = skeleton.limbs.map((ends) => ends.map((end) => skeleton.keypoints.indexOf(end)));
  context.lineCap = "round";
  people.forEach((person, number) => {
    const colours = personColours(colourNumber(people, number));
    const joints = person.keypoints.map((_, joint) => joint);
    const drawn = joints.filter((joint) => sureness(person, joint) >= threshold);
    if (drawn.length === 0) return;
    const places = joints.map((joint) => place(person, joint, scale));
    const width = lineWidth(drawn.map((joint) => places[joint]));
    const isRing = (joint) => person.probability?.[joint] < UNLIKELY;
    const lines = limbs.filter((ends) => ends.every((end) => drawn.includes(end)));
    for (const outline of [true, false]) {
      for (const [a, b] of lines) {
        const side = sideOfLimb(sides[a], sides[b]);
        context.globalAlpha = isRing(a) || isRing(b) ? FAINT : 1;
        context.strokeStyle = outline ? outlineOf(side) : colours[side];
        context.lineWidth = outline ? width + 2 : width;
        context.beginPath();
        context.moveTo(...places[a]);
        context.lineTo(...places[b]);
        context.stroke();
      }
    }
    context.globalAlpha = 1;
    for (const joint of drawn) {
      const side = sides[joint];
      disc(context, places[joint], width + 2, outlineOf(side));
      disc(context, places[joint], width + 1, colours[side]);
      if (isRing(joint)) {
        disc(context, places[joint], width / 2, outlineOf(side));
      }
    }
    if (selection?.person === number && drawn.includes(selection.joint)) {
      mark(context, places[selection.joint], width + 6);
    }
  });
}

/** Of each keypoint: left, right or middle. */
export function sidesOf(skeleton) {
  const sides = skeleton.keypoints.map(() => "middle");
  for (const [left, right] of skeleton.pairs) {
    sides[skeleton.keypoints.indexOf(left)] = "left";
    sides[skeleton.keypoints.indexOf(right)] = "right";
  }
  return sides;
}

// A limb with one end in the middle is on the other end's side.
function sideOfLimb(one, other) {
  if (one === other || other === "middle") return one;
  return one === "middle" ? other : "middle";
}

function outlineOf(side) {
  return side === "right" ? LIGHT : DARK;
}

// Lines are as thick as the person is large.
function lineWidth(places) {
  const extent = (axis) => {
    const values = places.map((point) => point[axis]);
    return Math.max(...values) - Math.min(...values);
  };
  return Math.min(Math.max(Math.max(extent(0), extent(1)) / 75, 1.3), 12);
}

function disc(context, [x, y], radius, colour) {
  context.fillStyle = colour;
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
  context.fill();
}

function mark(context, [x, y], radius) {
  for (const [width, colour] of [[4, DARK], [2, LIGHT]]) {
    context.lineWidth = width;
    context.strokeStyle = colour;
    context.beginPath();
    context.arc(x, y, radius, 0, 2 * Math.PI);
    context.stroke();
  }
}
