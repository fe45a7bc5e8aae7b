"""What is true in the world: plain facts by relation, each a line of `subject: value` pairs."""

from __future__ import annotations


def _pairs(text: str) -> dict[str, str]:

    return {key.strip(): value.strip() for key, value in (item.split(":") for item in text.split(";") if item.strip())}


def _names(text: str) -> list[str]:
    return text.split()


CAPITALS = _pairs("""France: Paris; Italy: Rome; Spain: Madrid; Germany: Berlin; Poland: Warsaw; Russia: Moscow;
China: Beijing; Japan: Tokyo; Peru: Lima; Chile: Santiago; Cuba: Havana; Egypt: Cairo; Kenya: Nairobi; India: Delhi;
Iran: Tehran; Iraq: Baghdad; Greece: Athens; Norway: Oslo; Sweden: Stockholm; Finland: Helsinki; Denmark: Copenhagen;
Austria: Vienna; Hungary: Budapest; Portugal: Lisbon; Ireland: Dublin; England: London; Scotland: Edinburgh;
Wales: Cardiff; Belgium: Brussels; Turkey: Ankara; Canada: Ottawa; Mexico: Mexico City; Brazil: Brasilia;
Ghana: Accra; Mali: Bamako; Nepal: Kathmandu; Thailand: Bangkok; Vietnam: Hanoi; Laos: Vientiane; Korea: Seoul;
Ukraine: Kyiv; Latvia: Riga; Estonia: Tallinn; Serbia: Belgrade; Croatia: Zagreb; Bulgaria: Sofia; Romania: Bucharest;
Iceland: Reykjavik; Malta: Valletta; Libya: Tripoli; Tunisia: Tunis; Morocco: Rabat; Senegal: Dakar; Angola: Luanda;
Jordan: Amman; Syria: Damascus; Lebanon: Beirut; Qatar: Doha; Oman: Muscat; Cyprus: Nicosia""")

COLORS = _pairs("""a lemon: yellow; a banana: yellow; the sun: yellow; a canary: yellow; sand: yellow; corn: yellow;
a tomato: red; a cherry: red; blood: red; a brick: red; a ruby: red; a strawberry: red; a fire truck: red;
a rose: red;
grass: green; a frog: green; a lime: green; a pea: green; spinach: green; a leaf: green; a cucumber: green;
mint: green;
the sky: blue; the sea: blue; a blueberry: blue; a sapphire: blue; denim: blue; a bluebird: blue;
snow: white; milk: white; salt: white; a swan: white; paper: white; chalk: white; rice: white; a pearl: white;
coal: black; a raven: black; tar: black; the night: black; a panther: black; ink: black; a tire: black;
a carrot: orange; a pumpkin: orange; a fox: orange; a tiger: orange; a peach: orange; an apricot: orange;
chocolate: brown; wood: brown; a bear: brown; mud: brown; coffee: brown; a nut: brown; toast: brown;
a plum: purple; a grape: purple; lavender: purple; an eggplant: purple; a pig: pink; a flamingo: pink;
an elephant: gray; a mouse: gray; ash: gray; a dolphin: gray""")

SOUNDS = _pairs("""a cow: moo; a dog: woof; a cat: meow; a duck: quack; a pig: oink; a sheep: baa; a lion: roar;
a horse: neigh; a bee: buzz; a snake: hiss; a frog: croak; an owl: hoot; a mouse: squeak; a wolf: howl;
a rooster: crow;
a hen: cluck; a goat: bleat; a crow: caw; a dove: coo; a chick: cheep; a goose: honk; a donkey: bray;
a turkey: gobble;
a cricket: chirp; a bear: growl; a bull: bellow; a fly: hum; a clock: tick; a bell: ding; a drum: boom; a train: toot;
a car: vroom; a robot: beep; a ghost: boo; a balloon: pop; a door: creak""")

USES = _pairs("""a hammer: hit nails; a saw: cut wood; a broom: sweep floors; a knife: slice bread; a spoon: eat soup;
a needle: sew clothes; a pen: write notes; a brush: paint walls; a key: open doors; a phone: call friends;
a camera: take photos; a clock: tell time; a rope: tie knots; a bucket: carry water; a ladder: reach roofs;
a lamp: light rooms; a map: find roads; a mirror: see faces; an oven: bake bread; a pan: fry eggs;
a kettle: boil water;
a rake: gather leaves; a razor: shave beards; a ruler: measure lines; a scale: weigh food; a shovel: dig holes;
a sponge: wash dishes; a stove: heat pots; a towel: dry hands; an umbrella: stop rain; a vase: hold flowers;
a wrench: turn bolts; an axe: chop logs; a bowl: mix salad; a bed: sleep; a boat: cross rivers; a comb: fix hair;
a drill: make holes; a fan: cool rooms; a fork: pick food; a glass: drink milk; a glove: warm hands;
a hose: wet plants;
an iron: press shirts; a magnet: lift pins; a net: catch fish; a pillow: rest heads; a stamp: mail letters;
a tent: camp outside; a wheel: roll carts""")

HOMES = _pairs("""a bear: the forest; a fish: the sea; a camel: the desert; a bee: a hive; a bird: a nest;
a dog: a house; a lion: the grassland; a whale: the ocean; a frog: a pond; a spider: a web; a horse: a stable;
a pig: a pen; a rabbit: a burrow; a fox: a den; an ant: an ant hill; a monkey: the jungle; a penguin: the ice;
a goat: the mountains; a hen: a coop; a shark: the ocean; a snail: a shell; a squirrel: a tree;
a wolf: the forest; a deer: the forest; a seal: the ice; a tiger: the jungle; a zebra: the grassland;
a crab: the sea; a duck: a pond; an owl: a tree;
a bat: a cave; a mole: a burrow; a lizard: the desert; a parrot: the jungle; a cow: a barn; a sheep: a barn;
an eagle: the mountains; a mouse: a hole; a beaver: a dam; a giraffe: the grassland""")

INVENTED_LANDS = _names("""Zorbia Quelland Marvonia Tessaly Brakdor Ulmeria Vintoria Plessia Drundor Kolvania Farnovia
Ostravell Gremdale Yuvaria Hestoria Crumland Belquar Nandoria Sprovia Wuldania Pexia Lorvand Tromeria Azkolia Juthland
Mirrovia Skandoria Ephoria Dolvany Rastovia""")

INVENTED_BEASTS = _names("""wug blorf tazzle grumf snoot plimp quorl zibbet drobble fenk marp vosh yuff kribble lomp
nurgle spagg trizzle ulf wozzle brint clorf dwimp flonk gazzle hurp jibbet knoss lurg moof""")
