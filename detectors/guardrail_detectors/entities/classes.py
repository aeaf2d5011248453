"""The 80 classes of COCO (Lin et al. 2014), and the words that people use for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

COCO = tuple(
    "person,bicycle,car,motorcycle,airplane,bus,train,truck,boat,traffic light,fire hydrant,"
    "stop sign,parking meter,bench,bird,cat,dog,horse,sheep,cow,elephant,bear,zebra,giraffe,"
    "backpack,umbrella,handbag,tie,suitcase,frisbee,skis,snowboard,sports ball,kite,baseball bat,"
    "baseball glove,skateboard,surfboard,tennis racket,bottle,wine glass,cup,fork,knife,spoon,"
    "bowl,banana,apple,sandwich,orange,broccoli,carrot,hot dog,pizza,donut,cake,chair,couch,"
    "potted plant,bed,dining table,toilet,tv,laptop,mouse,remote,keyboard,cell phone,microwave,"
    "oven,toaster,sink,refrigerator,book,clock,vase,scissors,teddy bear,hair drier,"
    "toothbrush".split(",")
)

# Words that mean a class, or a kind of it. Words that may mean something else are left out.
_SYNONYMS = """
person: man, woman, child, boy, girl, baby, toddler, kid, guy, lady, gentleman, adult, teenager,
  pedestrian, passenger, player, rider, skier, snowboarder, surfer, skateboarder, cyclist, biker,
  motorcyclist, driver, chef, waiter, waitress, officer, policeman, fireman, soldier, worker,
  businessman, farmer, athlete, runner, swimmer, spectator, tourist, bride, groom, pitcher,
  batter, catcher, umpire, human, individual, couple of person
bicycle: bike, cycle
car: sedan, suv, hatchback, taxi, cab, convertible, automobile, police car, sports car
motorcycle: motorbike, moped
airplane: plane, aeroplane, jet, airliner, jetliner, aircraft, passenger jet
bus: school bus, double-decker bus, minibus
train: locomotive, subway train, passenger train, freight train
truck: pickup truck, fire truck, fire engine, lorry, delivery truck, dump truck
boat: sailboat, rowboat, canoe, kayak, ferry, motorboat, yacht, gondola
traffic light: traffic signal, stoplight, stop light
fire hydrant: hydrant
bird: seagull, pigeon, duck, goose, swan, parrot, eagle, owl, pelican, flamingo, sparrow
cat: kitten, kitty, tabby
dog: puppy, pup, labrador, bulldog, poodle, retriever
horse: pony, foal, stallion, mare
sheep: lamb, ram, ewe
cow: cattle, calf, bull, ox
bear: polar bear, black bear, brown bear, grizzly
backpack: rucksack, knapsack
umbrella: parasol
handbag: purse, shoulder bag
tie: necktie
suitcase: luggage
skis: ski
sports ball: ball, soccer ball, football, tennis ball, basketball, baseball, volleyball
baseball bat: bat
baseball glove: baseball mitt, catcher's mitt
skateboard: longboard
surfboard: surf board
tennis racket: tennis racquet, racket, racquet
bottle: wine bottle, beer bottle, water bottle
wine glass: wineglass, glass of wine
cup: mug, coffee cup, teacup, tea cup, coffee mug
bowl: soup bowl, salad bowl
sandwich: burger, hamburger, cheeseburger
hot dog: hotdog
donut: doughnut
cake: birthday cake, cupcake, wedding cake
chair: armchair, stool, office chair, recliner
couch: sofa, loveseat
potted plant: houseplant, house plant, flower pot
bed: bunk bed
dining table: table, kitchen table
toilet: toilet bowl, urinal
tv: television, tv set, television set, flat screen, flatscreen tv, monitor
laptop: laptop computer, notebook computer
mouse: computer mouse
remote: remote control, tv remote, wii remote
cell phone: phone, mobile phone, smartphone, cellphone, iphone, mobile
microwave: microwave oven
oven: stove
sink: washbasin, basin, bathroom sink, kitchen sink
refrigerator: fridge
book: textbook, novel
clock: wall clock, alarm clock
scissors: pair of scissors
teddy bear: teddy, stuffed bear
hair drier: hair dryer, hairdryer, blow dryer
"""


def synonyms() -> dict[str, str]:
    """Words to the COCO class they mean."""
    found = {name: name for name in COCO}
    for line in _SYNONYMS.strip().replace("\n  ", " ").splitlines():
        name, _, words = line.partition(":")
        found |= {word.strip(): name for word in words.split(",")}
    return found


def vocabulary(
    classes: Sequence[str], more: Mapping[str, Sequence[str]] | None = None
) -> dict[str, int]:
    """Words to the index of their class; those of COCO's classes are known."""
    index = {name: place for place, name in enumerate(classes)}
    found = {word: index[name] for word, name in synonyms().items() if name in index}
    found |= index
    for name, words in (more or {}).items():
        found |= {word.lower(): index[name] for word in words}
    return found
