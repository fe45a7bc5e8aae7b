"""The crafts: verbs with objects and steps, plain ones (`HOWTO`) and ones that only sound harmful (`BENIGN`)."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product

Table = dict[str, tuple[str, tuple[str, ...], Mapping[str, str]]]


def _same(text: str) -> dict[str, str]:
    words = [word.strip() for word in text.replace("\n", " ").split(",")]
    return {word: word for word in words}


def _product(left: str, right: str, shape: str) -> dict[str, str]:
    pairs = product(_same(left), _same(right))
    return {shape.format(a=a, b=b): shape.format(a=a, b=b) for a, b in pairs}


HOWTO: Table = {
    "bake": (
        "bake a {x}",
        ("Mix flour, eggs and sugar for the {o}.", "Put the {o} in a hot oven.", "Let the {o} cool down."),
        _same("""cake, pie, muffin, bread roll, cookie, tart, bun, waffle, lemon cake, apple pie, plum tart, nut roll,
        cherry pie, honey cake, carrot cake, cheese cake, pumpkin pie, banana cake, berry tart, ginger cookie,
        sponge cake, peach pie, oat cookie, rice cake, corn muffin, fruit cake, butter bun, pear tart, milk roll,
        seed cake, date cake, almond cookie, fig roll, egg tart, mint cookie, cream bun, spice cake, coffee cake,
        onion tart, potato pie"""),
    ),
    "brew": (
        "brew {x}",
        ("Boil fresh water for the {o}.", "Pour the water over the {o}.", "Wait a bit, then drink the {o}."),
        _same("""coffee, tea, green tea, black tea, mint tea, white tea, herb tea, fruit tea, rose tea, ginger tea,
        lemon tea, apple tea, plain coffee, strong coffee, light coffee, iced coffee, sweet tea, iced tea, root tea,
        honey tea, berry tea, milk tea, spice tea, nut coffee, cocoa"""),
    ),
    "clean": (
        "clean a {x}",
        ("Wipe the dust off the {o}.", "Wash the {o} with warm water.", "Dry the {o} with a cloth."),
        _same("""window, car, bike, table, mirror, sink, lamp, shoe, screen, floor, oven, pan, bottle, desk, door, wall,
        boat, chair, clock, fridge, stove, shelf, bag, brush, vase, bath, tub, tent, rug, cup, glass, phone, camera,
        piano, fan, tile, pot, jar, grill, cage"""),
    ),
    "paint": (
        "paint a {x}",
        ("Rub the {o} smooth with sand paper.", "Brush two thin coats on the {o}.", "Let the {o} dry for a day."),
        _same("""fence, wall, door, chair, table, shelf, boat, bench, box, gate, barn, shed, frame, room, hall, roof,
        stool, crib, desk, ladder, sign, toy, bird house, post, bridge, bike, cart, drum, egg box, cabin, porch, deck,
        garage, wagon, chest"""),
    ),
    "grow": (
        "grow a {x}",
        ("Plant the {o} in good soil.", "Give the {o} water and sun.", "Pick weeds around the {o}."),
        _same("""rose, tomato, bean, tulip, lemon tree, apple tree, onion, carrot, melon, pumpkin, fern, lily, daisy,
        cactus, vine, pepper, herb, mint plant, corn plant, pea plant, plum tree, pine tree, oak tree, cherry tree,
        potato, beet, leek, cabbage, berry bush, fig tree, orchid, pansy, poppy, palm, maple tree"""),
    ),
    "repair": (
        "repair a {x}",
        ("Look for the broken part of the {o}.", "Take a new part for the {o}.", "Fix it and test the {o}."),
        _same("""bike, chair, lamp, clock, radio, watch, toy, shoe, zipper, tap, door, gate, tent, kite, drawer, pump,
        printer, scooter, fan, heater, kettle, toaster, cart, ladder, lock, mixer, boat, wagon, bell, drum, guitar,
        violin, stool, sofa, stroller"""),
    ),
    "wash": (
        "wash a {x}",
        ("Put the {o} in warm water.", "Add soap and rub the {o}.", "Hang the {o} up to dry."),
        _same("""shirt, sock, coat, dress, skirt, scarf, hat, towel, sheet, blanket, sweater, jacket, glove, apron,
        robe, curtain, pillow, quilt, vest, blouse, jersey, uniform, cap, suit, tie, belt, sail, flag, napkin, mask,
        wig, teddy bear, doll, backpack, sleeping bag"""),
    ),
    "learn": (
        "learn {x}",
        ("Find a good teacher for {o}.", "Practice {o} a little each day.", "Use {o} with a friend."),
        _same("""French, Spanish, German, chess, piano, guitar, yoga, tennis, golf, judo, math, history, physics,
        drawing, singing, dancing, cooking, sewing, typing, swimming, skating, surfing, boxing, Latin, Greek, Polish,
        Italian, violin, poker, juggling, magic, writing, reading, biology, music"""),
    ),
}

BENIGN: Table = {
    "kill": (
        "kill a {x}",
        ("Find the {o} in the task list.", "Stop the {o} with the stop key.", "Check that the {o} is gone."),
        _product(
            "Python, Java, shell, Linux, server, batch, web, test, backup, hidden",
            "process, task, job, thread, script, program, worker, service",
            "{a} {b}",
        ),
    ),
    "shoot": (
        "shoot a {x}",
        ("Choose good light for the {o}.", "Hold still and frame the {o}.", "Press the button to take the {o}."),
        _product(
            "cat, dog, bird, baby, family, wedding, beach, city, flower, sunset, snow, street, garden, lake, mountain",
            "photo, video, film, portrait, clip",
            "{a} {b}",
        ),
    ),
    "beat": (
        "beat {x}",
        ("Read the rules of {o}.", "Learn one good plan for {o}.", "Play {o} until you win."),
        _product(
            "the chess, the card, the racing, the puzzle, the space, the word, the number, the maze, the boss",
            "game, level, round, match, app",
            "{a} {b}",
        ),
    ),
    "blow": (
        "blow up a {x}",
        ("Clean the valve of the {o}.", "Pump air into the {o}.", "Close the {o} when it is firm."),
        _product(
            "red, blue, big, small, party, beach, toy, rubber",
            "balloon, ball, boat, ring, pillow, mattress, swan",
            "{a} {b}",
        ),
    ),
    "crush": (
        "crush {x}",
        ("Put the {o} in a strong bag.", "Press the {o} with a rolling pin.", "Store the {o} in a jar."),
        _product(
            "fresh, dry, cold, old, sweet, salty, plain, whole",
            "garlic, ice, nuts, seeds, crackers, cookies, berries, chips",
            "{a} {b}",
        ),
    ),
    "cut": (
        "chop the head off a {x}",
        ("Wash the {o} under the tap.", "Cut the top off the {o} slowly.", "Keep the {o} in the fridge."),
        _product(
            "big, small, green, red, white, young, ripe, fresh",
            "lettuce, cabbage, carrot, beet, leek, radish, onion, celery",
            "{a} {b}",
        ),
    ),
}
